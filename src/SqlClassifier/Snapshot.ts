/**
 * What `snapshotSql` answers, decoded.
 */
import * as Schema from "effect/Schema"

/** What an object uses, as the first letter of its kind and its oid: `f123`. Null where there is nothing. */
const Uses = Schema.NullOr(Schema.Array(Schema.String))
const NestedUses = Schema.NullOr(Schema.Array(Schema.Array(Schema.String)))

export const Snapshot = Schema.Struct({
  backslashEscapes: Schema.Boolean,
  systemFunctions: Schema.String,
  systemSuspects: Schema.Array(Schema.Struct({ id: Schema.String, name: Schema.String, volatile: Schema.Boolean })),
  systemRelations: Schema.Array(Schema.Struct({ schema: Schema.String, name: Schema.String })),
  systemTypes: Schema.String,
  functions: Schema.Array(
    Schema.Struct({
      id: Schema.String,
      schema: Schema.String,
      name: Schema.String,
      volatile: Schema.Boolean,
      attribute: Schema.NullOr(Schema.Boolean),
      extension: Schema.NullOr(Schema.String),
      body: Schema.NullOr(Schema.String),
      uses: Uses,
      parts: Uses,
      types: Uses
    })
  ),
  operators: Schema.Array(Schema.Struct({ id: Schema.String, name: Schema.String, code: Schema.String })),
  relations: Schema.Array(
    Schema.Struct({
      id: Schema.String,
      schema: Schema.String,
      name: Schema.String,
      kind: Schema.String,
      persistence: Schema.String,
      uses: Uses,
      children: Uses,
      policies: NestedUses,
      columns: Uses
    })
  ),
  types: Schema.Array(
    Schema.Struct({
      id: Schema.String,
      schema: Schema.String,
      name: Schema.String,
      input: Schema.String,
      output: Schema.String,
      base: Schema.String,
      element: Schema.String,
      constraints: NestedUses,
      casts: Uses,
      conversions: Uses,
      attributes: Uses
    })
  )
})

export type Snapshot = typeof Snapshot.Type
