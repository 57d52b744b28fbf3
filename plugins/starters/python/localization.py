"""A file's name says its language: `key-visual_de.jpg` goes to every market that needs German."""

import json
import traceback

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.localization import Placement, Routed_Hold, Routed_Ready, Routing
from wit_world.exports.plugin import Identity
from wit_world.imports import host
from wit_world.imports.types import Finding, Hold

# What the operator writes: the language that stands in for one that a piece does not have.
config = {"fallback": "en"}


class Plugin(exports.Plugin):
    def identify(self):
        return Identity("my-plugin", "0.1.0", [])

    def configure(self, text, granted):
        for key, value in json.loads(text).items():
            if key not in config:
                raise Err(f"unknown field `{key}`")
            config[key] = value


class Localization(exports.Localization):
    def route(self, assets, markets):
        return told(lambda: [route(asset, markets) for asset in assets])


def route(asset, markets):
    name = asset.path.rsplit("/", 1)[-1]
    stem = name.rsplit(".", 1)[0]
    if "_" not in stem:
        reason = "its name ends in no language such as key-visual_de.jpg"
        return Routed_Hold(Hold(reason, "language"))
    piece, own = stem.rsplit("_", 1)
    placements = []
    for market in markets:
        for language in market.languages:
            # The host takes a stand-in only where nothing better is found.
            if own == language:
                fallback = 0
            elif own == config["fallback"]:
                fallback = 1
            else:
                continue
            for channel in market.channels:
                placements.append(
                    Placement(
                        market=market.code,
                        language=language,
                        channel=channel,
                        folder=f"/{market.code}/{language}/{channel}",
                        file_name=name,
                        rendition=None,
                        piece=piece,
                        fallback=fallback,
                        rule=f"language {own}",
                    )
                )
    findings = []
    if not placements:
        findings.append(Finding(own, "no market needs this language"))
    return Routed_Ready(Routing(placements, findings))


def told(answer):
    """What is logged as an error before the plugin fails is what the operator reads."""
    try:
        return answer()
    except Exception:
        host.log(host.Level.ERROR, traceback.format_exc())
        raise
