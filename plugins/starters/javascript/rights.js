// A licence decides: until when, and for which markets.

import { log } from "windlass:hooks/host@1.0.0";

// What the operator writes: which fields of the system that holds the assets say what.
const config = { until: "licenceUntil", markets: "licenceMarkets" };

export const plugin = {
  identify: () => ({ name: "my-plugin", version: "0.1.0", asks: ["source"] }),

  configure(text, granted) {
    // What is thrown is the error that the operator reads.
    if (!granted.includes("source")) {
      throw 'it reads fields of the source: grants = ["source"]';
    }
    for (const [key, value] of Object.entries(JSON.parse(text))) {
      if (!(key in config)) throw `unknown field \`${key}\``;
      config[key] = value;
    }
  },
};

export const rights = {
  decide: (releases) => told(() => releases.map(decide)),
};

function decide(release) {
  // What is not known is not allowed.
  const until = stated(release.asset, config.until, "date");
  if (!until) return ruling("hold", `no day in ${config.until}`, "licence's end");
  const markets = stated(release.asset, config.markets, "references");
  if (!markets) return ruling("hold", `no markets in ${config.markets}`, "licence's markets");
  const day = new Date(Date.UTC(until.year, until.month - 1, until.day));
  const last = day.toISOString().slice(0, 10);
  // Moments are text that sorts like time.
  if (release.at.slice(0, 10) > last) {
    return ruling("deny", `the licence ended on ${last}`, "licence's end");
  }
  const market = release.market;
  if (market == null) return ruling("hold", "no market is named", "licence's markets");
  if (!markets.includes(market)) {
    return ruling("deny", `not licensed for ${market}`, "licence's markets");
  }
  day.setUTCDate(day.getUTCDate() + 1);
  const after = `${day.toISOString().slice(0, 10)}T00:00:00Z`;
  return ruling("allow", `licensed for ${market} until ${last}`, "licence", after);
}

function stated(asset, field, type) {
  const named = asset.statements.find(({ origin, name }) => origin === "source" && name === field);
  return named?.value.tag === type ? named.value.val : undefined;
}

function ruling(decision, reason, rule, until) {
  return { decision, until, reason, rule, findings: [] };
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
