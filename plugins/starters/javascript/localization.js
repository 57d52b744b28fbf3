// A file's name says its language: `key-visual_de.jpg` goes to every market that needs German.

import { log } from "windlass:hooks/host@1.0.0";

// What the operator writes: the language that stands in for one that a piece does not have.
const config = { fallback: "en" };

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

export const localization = {
  route: (assets, markets) => told(() => assets.map((asset) => route(asset, markets))),
};

function route(asset, markets) {
  const fileName = asset.path.split("/").at(-1);
  const stem = fileName.includes(".") ? fileName.slice(0, fileName.lastIndexOf(".")) : fileName;
  const cut = stem.lastIndexOf("_");
  if (cut < 0) {
    const reason = "its name ends in no language such as key-visual_de.jpg";
    return { tag: "hold", val: { reason, rule: "language" } };
  }
  const [piece, own] = [stem.slice(0, cut), stem.slice(cut + 1)];
  const placements = [];
  for (const { code, languages, channels } of markets) {
    for (const language of languages) {
      // The host takes a stand-in only where nothing better is found.
      if (own !== language && own !== config.fallback) continue;
      const fallback = own === language ? 0 : 1;
      for (const channel of channels) {
        const folder = `/${code}/${language}/${channel}`;
        const rule = `language ${own}`;
        placements.push({ market: code, language, channel, folder, fileName, piece, fallback, rule });
      }
    }
  }
  const findings = [];
  if (placements.length === 0) {
    findings.push({ subject: own, message: "no market needs this language" });
  }
  return { tag: "ready", val: { placements, findings } };
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
