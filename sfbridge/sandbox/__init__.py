"""A Salesforce org in miniature: the upstream of a fresh installation, and what the tests talk to.

Somebody else's machine: it knows the public API of Salesforce and nothing of ours, and is reached over HTTP
like the real one. `settings` says how to bend it, `faults` which model names misbehave, `tokens` which client
ids are refused, `rules` what the model answers, `scenario` how to script it.
"""

from .org import ORG, Calls, Org, Record
from .routes import create_org
from .scenario import ScenarioError
from .settings import CLIENT_ID, CLIENT_SECRET, SandboxSettings

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "ORG",
    "Calls",
    "Org",
    "Record",
    "SandboxSettings",
    "ScenarioError",
    "create_org",
]
