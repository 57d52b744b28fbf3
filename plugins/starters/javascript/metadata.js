// Campaign folders become metadata: `/…/CLIENT/CMP-1234-Title/…/file`.

import { log, lookup } from "windlass:hooks/host@1.0.0";

const CAMPAIGN = /(?:^|\/)([^/]+)\/(CMP-[0-9]+)-([^/]+)\//;
const TYPES = {
  Image: ["jpg", "jpeg", "png", "tif", "tiff", "psd"],
  Video: ["mp4", "mov"],
};

// What the operator writes: the collection below which each client has one.
const config = { collection: "/Campaigns" };

export const plugin = {
  identify: () => ({ name: "my-plugin", version: "0.1.0", asks: [] }),

  configure(text, _granted) {
    for (const [key, value] of Object.entries(JSON.parse(text))) {
      // What is thrown is the error that the operator reads.
      if (!(key in config)) throw `unknown field \`${key}\``;
      config[key] = value;
    }
  },
};

export const metadata = {
  describe: (assets) => told(() => assets.map(describe)),
};

function describe(asset) {
  const found = CAMPAIGN.exec(asset.path);
  if (!found) {
    return held("it is in no campaign folder such as ACME/CMP-1234-Summer", "campaign folder");
  }
  const [, code, campaign] = found;
  const title = found[3].replaceAll("-", " ");
  let client;
  try {
    // The operator's table of client codes.
    client = lookup("clients", code, undefined);
  } catch {
    return held('there is no table "clients"', "client codes");
  }
  if (client == null) {
    return held(`client code "${code}" is unknown`, "client codes");
  }
  const rule = `folder ${campaign}`;
  const fields = [
    { field: "client", value: { tag: "text", val: client }, rule: `client code ${code}` },
    { field: "campaignId", value: { tag: "text", val: campaign }, rule },
    {
      field: "campaignTitle",
      value: { tag: "localized-text", val: [{ locale: "en", text: title }] },
      rule,
    },
    { field: "keywords", value: { tag: "keywords", val: [title, client] }, rule },
  ];
  const fileName = asset.path.split("/").at(-1);
  const findings = [];
  if (fileName.toLowerCase().includes("draft")) {
    findings.push({ subject: campaign, message: "a file whose name says draft was approved" });
  }
  const collection = `${config.collection}/${client}/${campaign}`;
  const mapping = { fields, assetType: assetType(fileName), collection, findings };
  return { tag: "ready", val: mapping };
}

function held(reason, rule) {
  return { tag: "hold", val: { reason, rule } };
}

function assetType(fileName) {
  if (!fileName.includes(".")) return undefined;
  const extension = fileName.split(".").at(-1).toLowerCase();
  const known = Object.entries(TYPES).find(([, extensions]) => extensions.includes(extension));
  return known ? known[0] : "Document";
}

// What is logged as an error before the plugin fails is what the operator reads.
function told(answer) {
  try {
    return answer();
  } catch (error) {
    log("error", `${error} ${(error.stack ?? "").split("\n")[0].trim()}`);
    throw error;
  }
}
