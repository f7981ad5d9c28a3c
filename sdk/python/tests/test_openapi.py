"""The package says of the API what its document says."""

from __future__ import annotations

import copy
import json
import unittest
from pathlib import Path

from openapi import problems

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"


class TheDocument(unittest.TestCase):
    def setUp(self) -> None:
        self.document = json.loads(DOCUMENT.read_text())

    def test_every_path_and_field_that_is_used_is_there(self) -> None:
        self.assertEqual(problems(self.document), [])

    def test_a_field_that_is_missing_is_caught(self) -> None:
        for schema, field in [("Vm", "state"), ("CreateVm", "labels"), ("Exec", "timeout_ms"), ("Operation", "error")]:
            broken = copy.deepcopy(self.document)
            del broken["components"]["schemas"][schema]["properties"][field]
            self.assertTrue(any(f".{field}: " in one for one in problems(broken)), (schema, field))

    def test_a_field_of_another_type_is_caught(self) -> None:
        broken = copy.deepcopy(self.document)
        broken["components"]["schemas"]["Vm"]["properties"]["vcpu"]["type"] = "string"
        self.assertIn("Vm.vcpu: it is string, no integer", problems(broken))

    def test_a_field_that_may_be_absent_by_now_is_caught(self) -> None:
        broken = copy.deepcopy(self.document)
        broken["components"]["schemas"]["Vm"]["required"].remove("state")
        self.assertIn("Vm.state: Vm does not always have it", problems(broken))

    def test_a_path_a_query_and_a_code_that_are_missing_are_caught(self) -> None:
        broken = copy.deepcopy(self.document)
        del broken["paths"]["/v1/vms/{ref}/pause"]
        follow = broken["paths"]["/v1/operations/{id}/events"]["get"]
        follow["parameters"] = [one for one in follow["parameters"] if one["name"] != "cancel_on_disconnect"]
        broken["components"]["schemas"]["ErrorCode"]["enum"].append("melted")
        found = problems(broken)
        self.assertIn("PAUSE: no POST /v1/vms/{ref}/pause", found)
        self.assertIn("FOLLOW: no query cancel_on_disconnect", found)
        self.assertIn("error code melted has no class", found)

    def test_a_value_that_is_not_known_any_more_is_caught(self) -> None:
        broken = copy.deepcopy(self.document)
        broken["components"]["schemas"]["Egress"]["enum"].remove("list")
        self.assertTrue(any("CreateVm.egress" in one for one in problems(broken)))


if __name__ == "__main__":
    unittest.main()
