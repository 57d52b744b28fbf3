"""Campaign folders become metadata: `/…/CLIENT/CMP-1234-Title/…/file`."""

import json
import re
import traceback

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import metadata
from wit_world.exports.plugin import Identity
from wit_world.imports import host
from wit_world.imports.types import (
    Finding,
    Hold,
    Localized,
    Value_Keywords,
    Value_LocalizedText,
    Value_Text,
)

CAMPAIGN = re.compile(r"(?:^|/)([^/]+)/(CMP-[0-9]+)-([^/]+)/")
TYPES = {
    "Image": {"jpg", "jpeg", "png", "tif", "tiff", "psd"},
    "Video": {"mp4", "mov"},
}

# What the operator writes: the collection below which each client has one.
config = {"collection": "/Campaigns"}


class Plugin(exports.Plugin):
    def identify(self):
        return Identity("my-plugin", "0.1.0", [])

    def configure(self, text, granted):
        for key, value in json.loads(text).items():
            if key not in config:
                raise Err(f"unknown field `{key}`")
            config[key] = value


class Metadata(exports.Metadata):
    def describe(self, assets):
        return told(lambda: [describe(asset) for asset in assets])


def describe(asset):
    found = CAMPAIGN.search(asset.path)
    if not found:
        reason = "it is in no campaign folder such as ACME/CMP-1234-Summer"
        return held(reason, "campaign folder")
    code, campaign, title = found[1], found[2], found[3].replace("-", " ")
    try:
        # The operator's table of client codes.
        client = host.lookup("clients", code, None)
    except Err:
        return held('there is no table "clients"', "client codes")
    if client is None:
        return held(f'client code "{code}" is unknown', "client codes")
    folder = f"folder {campaign}"
    fields = [
        metadata.Assigned("client", Value_Text(client), f"client code {code}"),
        metadata.Assigned("campaignId", Value_Text(campaign), folder),
        metadata.Assigned(
            "campaignTitle", Value_LocalizedText([Localized("en", title)]), folder
        ),
        metadata.Assigned("keywords", Value_Keywords([title, client]), folder),
    ]
    file_name = asset.path.rsplit("/", 1)[-1]
    findings = []
    if "draft" in file_name.lower():
        findings.append(Finding(campaign, "a file whose name says draft was approved"))
    return metadata.Verdict_Ready(
        metadata.Mapping(
            fields=fields,
            asset_type=asset_type(file_name),
            collection=f"{config['collection']}/{client}/{campaign}",
            name=None,
            availability=None,
            findings=findings,
        )
    )


def held(reason, rule):
    return metadata.Verdict_Hold(Hold(reason, rule))


def asset_type(file_name):
    if "." not in file_name:
        return None
    extension = file_name.rsplit(".", 1)[-1].lower()
    for name, extensions in TYPES.items():
        if extension in extensions:
            return name
    return "Document"


def told(answer):
    """What is logged as an error before the plugin fails is what the operator reads."""
    try:
        return answer()
    except Exception:
        host.log(host.Level.ERROR, traceback.format_exc())
        raise
