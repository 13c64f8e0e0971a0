// JSON Schema for people: a tree that opens step by step.

import { element, prose } from "./dom.js";

const PREFIX = "#/components/schemas/";

/** What a schema is, in a few words: "integer, -100 to 100". */
export function words(schema, explained = false) {
  if (schema === undefined || schema === true || Object.keys(schema).length === 0) return "any value";
  if (schema.$ref) return schema.$ref.replace(PREFIX, "");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const parts = schema.anyOf ?? schema.oneOf;
  if (parts) return parts.map((one) => words(one, explained || schema.description !== undefined)).join(" | ");
  if (schema.allOf) return schema.allOf.filter((one) => one.$ref).map((one) => words(one)).join(" and ") || "object";
  let said = schema.type ?? "any value";
  if (schema.type === "array") said = `list of ${words(schema.items)}`;
  if (schema.type === "object" && schema.additionalProperties) said = `object of ${words(schema.additionalProperties)}`;
  if (schema.format) said += ` (${schema.format})`;
  if (schema.contentEncoding) said += ` (${schema.contentEncoding})`;
  const low = schema.minimum ?? schema.exclusiveMinimum ?? schema.minLength ?? schema.minItems;
  const high = schema.maximum ?? schema.maxLength ?? schema.maxItems;
  const over = schema.exclusiveMinimum !== undefined ? "over " : "";
  const unit = schema.type === "string" ? " characters" : schema.type === "array" ? " entries" : "";
  if (low !== undefined && high !== undefined) said += `, ${over}${low} to ${high}${unit}`;
  else if (low !== undefined) said += `, ${over || "from "}${low}${unit}`;
  else if (high !== undefined) said += `, up to ${high}${unit}`;
  if (schema.pattern && !explained && !schema.description) said += `, like ${schema.pattern}`;
  return said;
}

/** The names of all schemas that a schema refers to, at any depth below itself. */
function references(schema, found = new Set()) {
  if (schema && typeof schema === "object") {
    if (typeof schema.$ref === "string") found.add(schema.$ref.replace(PREFIX, ""));
    for (const [key, value] of Object.entries(schema)) {
      if (key !== "example" && key !== "discriminator") references(value, found);
    }
  }
  return found;
}

/** A tree of a schema. `named`: all schemas of the document by name. */
export function tree(schema, named, above = []) {
  if (schema?.allOf) return element("div", {}, schema.allOf.filter((one) => one.$ref).map((one) => tree(one, named, above)));
  const whole = schema?.properties ? schema : undefined;
  if (whole) return properties(whole, named, above);
  return element("div", { class: "type" }, words(schema), opened(schema, named, above));
}

function properties(schema, named, above) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties).map(([name, one]) => element("li", {},
    element("code", { class: "name" }, name),
    required.has(name) && element("span", { class: "required" }, "required"),
    element("span", { class: "type" }, words(one)),
    one.default !== undefined && one.default !== null && element("span", { class: "default" }, `default ${JSON.stringify(one.default)}`),
    one.description && element("p", {}, prose(one.description)),
    opened(one, named, above)));
  return element("ul", { class: "properties" }, rows.length ? rows : element("li", {}, "nothing more"));
}

/** The schemas that one refers to, closed until somebody wants to see them. */
function opened(schema, named, above) {
  return [...references(schema)].filter((name) => named[name]?.properties && !above.includes(name)).map((name) => {
    const inside = element("div", {});
    const details = element("details", { class: "schema" }, element("summary", {}, name), inside);
    details.addEventListener("toggle", () => {
      if (details.open && !inside.hasChildNodes()) {
        if (named[name].description) inside.append(element("p", {}, prose(named[name].description)));
        inside.append(properties(named[name], named, [...above, name]));
      }
    });
    return details;
  });
}
