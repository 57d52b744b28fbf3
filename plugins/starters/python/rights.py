"""A licence decides: until when, and for which markets."""

import datetime
import json
import traceback

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.plugin import Identity
from wit_world.exports.rights import Decision, Ruling
from wit_world.imports import host
from wit_world.imports.types import Origin, Value_Date, Value_References

# What the operator writes: which fields of the system that holds the assets say what.
config = {"until": "licenceUntil", "markets": "licenceMarkets"}


class Plugin(exports.Plugin):
    def identify(self):
        return Identity("my-plugin", "0.1.0", [Origin.SOURCE])

    def configure(self, text, granted):
        if Origin.SOURCE not in granted:
            raise Err('it reads fields of the source: grants = ["source"]')
        for key, value in json.loads(text).items():
            if key not in config:
                raise Err(f"unknown field `{key}`")
            config[key] = value


class Rights(exports.Rights):
    def decide(self, releases):
        return told(lambda: [decide(release) for release in releases])


def decide(release):
    # What is not known is not allowed.
    until = stated(release.asset, config["until"])
    if not isinstance(until, Value_Date):
        return ruling(Decision.HOLD, f"no day in {config['until']}", "licence's end")
    markets = stated(release.asset, config["markets"])
    if not isinstance(markets, Value_References):
        reason = f"no markets in {config['markets']}"
        return ruling(Decision.HOLD, reason, "licence's markets")
    day = datetime.date(until.value.year, until.value.month, until.value.day)
    # Moments are text that sorts like time.
    if release.at[:10] > day.isoformat():
        return ruling(Decision.DENY, f"the licence ended on {day}", "licence's end")
    market = release.market
    if market is None:
        return ruling(Decision.HOLD, "no market is named", "licence's markets")
    if market not in markets.value:
        reason = f"not licensed for {market}"
        return ruling(Decision.DENY, reason, "licence's markets")
    after = day + datetime.timedelta(days=1)
    reason = f"licensed for {market} until {day}"
    return ruling(Decision.ALLOW, reason, "licence", f"{after}T00:00:00Z")


def stated(asset, field):
    for statement in asset.statements:
        if statement.origin == Origin.SOURCE and statement.name == field:
            return statement.value
    return None


def ruling(decision, reason, rule, until=None):
    return Ruling(decision, until, reason, rule, [])


def told(answer):
    """What is logged as an error before the plugin fails is what the operator reads."""
    try:
        return answer()
    except Exception:
        host.log(host.Level.ERROR, traceback.format_exc())
        raise
