"""The package compared with the API's document: every path, query name, body and field that it uses is there, with
that type. The document is the daemon's own (`/v1/openapi.json`), or its checked-in copy."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from banger import _routes, _schema, errors

Document = dict[str, Any]


def problems(document: Document) -> list[str]:
    """Everything in which the package and the document differ."""
    check = _Check(document)
    for name, route in _routes.ALL.items():
        check.route(name, route)
    for kind, schema in _schema.ANSWERS.items():
        check.answer(kind, schema)
    for kind, schema in _schema.REQUESTS.items():
        check.request(kind, schema)
    check.codes()
    return check.found


class _Check:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.schemas: dict[str, Any] = document["components"]["schemas"]
        self.found: list[str] = []

    def route(self, name: str, route: _routes.Route) -> None:
        operation = self.document["paths"].get(route.path, {}).get(route.method.lower())
        if operation is None:
            self.found.append(f"{name}: no {route.method} {route.path}")
            return
        known = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        self.found += [f"{name}: no query {query}" for query in route.query if query not in known]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if route.raw:
            if "application/octet-stream" not in operation.get("requestBody", {}).get("content", {}):
                self.found.append(f"{name}: it takes no bytes")
        elif route.body is not None:
            expected = _schema.REQUESTS[route.body]
            if body.get("$ref", "").rsplit("/", 1)[-1] != expected:
                self.found.append(f"{name}: its body is not {expected}")
        elif operation.get("requestBody", {}).get("required") and "application/json" in str(body):
            self.found.append(f"{name}: it wants a body")
        self.route_answer(name, route, operation["responses"])

    def route_answer(self, name: str, route: _routes.Route, responses: dict[str, Any]) -> None:
        good = {status: one for status, one in responses.items() if status[0] in "12"}
        if route.answers == "upgrade":
            if "101" not in good:
                self.found.append(f"{name}: it does not upgrade")
            return
        contents = [one for response in good.values() for one in response.get("content", {}).items()]
        if len(contents) != 1:
            self.found.append(f"{name}: it has {len(contents)} answers")
            return
        media, content = contents[0]
        expected = {"json": "application/json", "events": "text/event-stream", "bytes": "text/plain"}
        if media != expected[route.answers]:
            self.found.append(f"{name}: it answers {media}")
        elif route.answers != "bytes":
            self.compare(name, route.answer, content["schema"], answer=True)

    def codes(self) -> None:
        theirs = set(
            self.schemas["ErrorCode"]["enum"] if "enum" in self.schemas["ErrorCode"] else self.consts("ErrorCode")
        )
        ours = set(errors.BY_CODE)
        self.found += [f"error code {code} has no class" for code in sorted(theirs - ours)]
        self.found += [f"error code {code} is not the API's" for code in sorted(ours - theirs)]

    def consts(self, schema: str) -> list[str]:
        return [value for one in self.schemas[schema].get("oneOf", []) for value in one.get("enum", [])]

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rsplit("/", 1)[-1]]
        return schema

    def properties(self, schema: dict[str, Any]) -> tuple[dict[str, list[dict[str, Any]]], set[str]]:
        """Properties with the schemas that they may have, and the names of those that are always there."""
        schema = self.resolve(schema)
        found: dict[str, list[dict[str, Any]]] = {}
        required = set(schema.get("required", []))
        for name, one in schema.get("properties", {}).items():
            found.setdefault(name, []).append(one)
        for part in schema.get("allOf", []):
            inner, needed = self.properties(part)
            required |= needed
            for name, several in inner.items():
                found.setdefault(name, []).extend(several)
        variants = [self.properties(one) for one in schema.get("oneOf", [])]
        for inner, _ in variants:
            for name, several in inner.items():
                found.setdefault(name, []).extend(several)
        if variants:
            required |= set.intersection(*(needed for _, needed in variants))
        return found, required

    def answer(self, kind: type, schema: str) -> None:
        if schema not in self.schemas:
            self.found.append(f"{kind.__name__}: no schema {schema}")
            return
        properties, required = self.properties(self.schemas[schema])
        for name, annotation, has_default in _schema.fields_of(kind):
            at, name = f"{kind.__name__}.{name}", _schema.wire_name(name)
            if name not in properties:
                self.found.append(f"{at}: {schema} has no {name}")
                continue
            if name not in required and not has_default:
                self.found.append(f"{at}: {schema} does not always have it")
            for one in properties[name]:
                self.compare(at, annotation, one, answer=True)

    def request(self, kind: type, schema: str) -> None:
        if schema not in self.schemas:
            self.found.append(f"{kind.__name__}: no schema {schema}")
            return
        properties, required = self.properties(self.schemas[schema])
        ours = {_schema.wire_name(name) for name, _, _ in _schema.fields_of(kind)}
        missing = required - ours
        if missing and "oneOf" not in self.schemas[schema]:
            self.found.append(f"{kind.__name__}: {schema} needs {sorted(missing)}")
        for name, annotation, has_default in _schema.fields_of(kind):
            at, name = f"{kind.__name__}.{name}", _schema.wire_name(name)
            if name not in properties:
                self.found.append(f"{at}: {schema} has no {name}")
                continue
            # A variant of a union says which one it is.
            if name in required and has_default and typing.get_origin(annotation) is not typing.Literal:
                self.found.append(f"{at}: {schema} needs it always")
            if typing.get_origin(annotation) is typing.Literal and len(properties[name]) > 1:
                allowed = {"enum": [value for one in properties[name] for value in one["enum"]]}
                self.compare(at, annotation, allowed, answer=False)
                continue
            for one in properties[name]:
                self.compare(at, annotation, one, answer=False)

    def compare(self, at: str, annotation: Any, schema: dict[str, Any], *, answer: bool) -> None:
        schema = self.without_null(schema)
        origin = typing.get_origin(annotation)
        if origin in (typing.Union, types.UnionType):
            variants = [one for one in typing.get_args(annotation) if one is not type(None)]
            if len(variants) > 1:
                self.compare_any(at, variants, schema, answer=answer)
                return
            (annotation,) = variants
            origin = typing.get_origin(annotation)
        resolved = self.resolve(schema)
        kind = resolved.get("type", "object" if "allOf" in resolved or "oneOf" in resolved else None)
        if origin is typing.Literal:
            allowed = resolved.get("enum", [])
            for value in typing.get_args(annotation):
                if value not in allowed:
                    self.found.append(f"{at}: {value!r} is none of {allowed}")
        elif origin is list:
            if kind != "array":
                self.found.append(f"{at}: it is {kind}, no array")
            else:
                self.compare(f"{at}[]", typing.get_args(annotation)[0], resolved["items"], answer=answer)
        elif origin is dict:
            if kind != "object":
                self.found.append(f"{at}: it is {kind}, no object")
            elif isinstance(resolved.get("additionalProperties"), dict):
                self.compare(
                    f"{at}{{}}", typing.get_args(annotation)[1], resolved["additionalProperties"], answer=answer
                )
        elif dataclasses.is_dataclass(annotation):
            table = _schema.ANSWERS | _schema.REQUESTS
            expected = table[typing.cast(type, annotation)]
            named = schema.get("$ref", "").rsplit("/", 1)[-1]
            # A longer form of a schema may stand for it (`LoggedOperation` is an `Operation` and more).
            extends = [part.get("$ref", "").rsplit("/", 1)[-1] for part in resolved.get("allOf", [])]
            if expected != named and expected not in extends:
                self.found.append(f"{at}: it is {named or kind}, not {expected}")
        else:
            names = {str: "string", int: "integer", float: "number", bool: "boolean"}
            if names[annotation] != kind:
                self.found.append(f"{at}: it is {kind}, no {names[annotation]}")

    def compare_any(self, at: str, variants: list[Any], schema: dict[str, Any], *, answer: bool) -> None:
        """An answer is one of the variants; in a request each of them may be sent."""
        before = self.found
        found: list[list[str]] = []
        for variant in variants:
            self.found = []
            self.compare(at, variant, schema, answer=answer)
            found.append(self.found)
        self.found = before
        if not answer or all(found):
            self.found += [problem for one in found for problem in one]

    def without_null(self, schema: dict[str, Any]) -> dict[str, Any]:
        if isinstance(schema.get("type"), list):
            (kind,) = [one for one in schema["type"] if one != "null"]
            return {**schema, "type": kind}
        variants = schema.get("oneOf", [])
        others = [one for one in variants if one.get("type") != "null"]
        if len(others) == 1 and len(variants) == 2:
            return typing.cast("dict[str, Any]", others[0])
        return schema
