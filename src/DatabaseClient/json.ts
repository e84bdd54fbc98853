/**
 * `sql.json(value)`: any JSON value as the text of one parameter. Left to the driver, an array would become a PostgreSQL
 * array and a string would not be quoted.
 */
import * as Statement from "@effect/sql/Statement"

/** node-postgres asks a parameter for its own text through this method. */
class JsonParameter {
  private readonly value: unknown
  constructor(value: unknown) {
    this.value = value
  }
  toPostgres(): string {
    return JSON.stringify(this.value)
  }
  toJSON(): unknown {
    return this.value
  }
}

const fragment = Statement.custom<Statement.Custom<"PgJson", JsonParameter>>("PgJson")

/** @param transformNames is applied to the keys inside the value. */
export const jsonFragment =
  (transformNames: ((name: string) => string) | undefined) =>
  (value: unknown): Statement.Fragment => {
    const transform = transformNames === undefined ? undefined : Statement.defaultTransforms(transformNames).value
    return fragment(new JsonParameter(transform === undefined ? value : transform(value)), undefined, undefined)
  }
