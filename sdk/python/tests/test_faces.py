"""Both faces offer the same."""

from __future__ import annotations

import inspect
import unittest

import banger
from banger import aio


def public(kind: type) -> dict[str, object]:
    return {name: one for name, one in vars(kind).items() if not name.startswith("_")}


class Faces(unittest.TestCase):
    def test_every_call_of_one_face_is_in_the_other_with_the_same_arguments(self) -> None:
        pairs = [
            (banger.Client, aio.AsyncClient),
            (banger.Sandbox, aio.AsyncSandbox),
            (banger.Process, aio.AsyncProcess),
            (banger.Stream, aio.AsyncStream),
        ]
        for plain, later in pairs:
            self.assertEqual(sorted(public(plain)), sorted(public(later)))
            for name, one in public(plain).items():
                if not inspect.isfunction(one):
                    continue
                other = getattr(later, name)
                self.assertEqual(
                    list(inspect.signature(one).parameters.values())[1:],
                    list(inspect.signature(other).parameters.values())[1:],
                    f"{plain.__name__}.{name}",
                )
                if name not in ("logs", "follow", "events"):
                    self.assertTrue(inspect.iscoroutinefunction(other), f"{later.__name__}.{name}")

    def test_everything_has_a_word_about_itself(self) -> None:
        for kind in (banger.Client, banger.Sandbox, banger.Process, banger.Stream):
            for name, one in public(kind).items():
                self.assertTrue(inspect.getdoc(one), f"{kind.__name__}.{name}")


if __name__ == "__main__":
    unittest.main()
