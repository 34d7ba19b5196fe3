"""
The input of a task as JSON Schema. The master checks by it before there is a job, and must refuse nothing that pydantic
takes. So the schema says, for the master (`loosen-schema.ts`), which parts it cannot judge: `x-lax` at the root, since
pydantic takes a number also as text, and `x-unchecked` where a validator runs first or a field has several names.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

UNCHECKED = {"x-unchecked": True}


def input_schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(schema_generator=InputSchema)


class InputSchema(GenerateJsonSchema):
    def generate(self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {**super().generate(schema, mode), "x-lax": True}

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        return _unless_told(schema, super().function_before_schema(schema))

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> JsonSchemaValue:
        return _unless_told(schema, super().function_wrap_schema(schema))

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        told = super().enum_schema(schema)
        return {**told, **UNCHECKED} if schema.get("missing") else told

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        told = super().str_schema(schema)
        takes_numbers = schema.get("coerce_numbers_to_str") or self._config.coerce_numbers_to_str
        return {**told, **UNCHECKED} if takes_numbers else told

    def model_fields_schema(self, schema: core_schema.ModelFieldsSchema) -> JsonSchemaValue:
        told = super().model_fields_schema(schema)
        aliases = [field.get("validation_alias") for field in schema["fields"].values()]
        by_name = self._config.populate_by_name or self._config.validate_by_name
        has_other_names = any(isinstance(alias, list) or (alias is not None and by_name) for alias in aliases)
        return {**told, **UNCHECKED} if has_other_names else told


def _unless_told(schema: Any, told: JsonSchemaValue) -> JsonSchemaValue:
    """With `json_schema_input_type` the validator's author has said what goes in."""
    return told if schema.get("json_schema_input_schema") is not None else {**told, **UNCHECKED}
