/**
 * What the classifier knows of a server: which names exist, and which of them do harm on a standby.
 */

/**
 * What using a name does: nothing, harm when the statement runs, or harm already when it is planned (an unlogged table; a
 * function declared STABLE, which the planner may call). EXPLAIN without ANALYZE only plans.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verdict {
  readonly harm: "none" | "run" | "plan"
  /** Why, in words that follow the name: `is volatile`. Empty where there is no harm. */
  readonly why: string
}

/**
 * Verdicts by name. An unqualified name gets the worst of all schemas, because the search path of the session is not known.
 *
 * @since 0.1.0
 * @category models
 */
export interface Names {
  /** `undefined` where no such name exists. */
  lookup(schema: string | undefined, name: string): Verdict | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Catalog {
  /** Functions, aggregates and procedures, and types in the notation of a function. */
  readonly functions: Names
  readonly relations: Names
  /** Whether a relation that `relations` does not know makes a statement unknown: true for the catalogue of a server. */
  readonly knowsRelations: boolean
  /** Harmful functions of one row, which may be written like a column: `row.f`. */
  readonly attributes: ReadonlyMap<string, Verdict>
  /** Operators over harmful functions. */
  readonly operators: ReadonlyMap<string, Verdict>
  /** Types whose input, casts or constraints do harm: so does a statement that names one. */
  readonly types: ReadonlyMap<string, Verdict>
  /** `standard_conforming_strings` is off: a backslash in a plain literal escapes. */
  readonly backslashEscapes: boolean
}

export const harmless: Verdict = { harm: "none", why: "" }

const rank = { none: 0, run: 1, plan: 2 } as const

const worse = (a: Verdict | undefined, b: Verdict): Verdict => (a === undefined || rank[b.harm] > rank[a.harm] ? b : a)

/** Verdicts under construction: adding a name twice keeps the worse. */
export class NameTable implements Names {
  readonly #anywhere = new Map<string, Verdict>()
  readonly #bySchema = new Map<string, Map<string, Verdict>>()

  add(schema: string, name: string, verdict: Verdict): void {
    this.#anywhere.set(name, worse(this.#anywhere.get(name), verdict))
    let names = this.#bySchema.get(schema)
    if (names === undefined) this.#bySchema.set(schema, (names = new Map()))
    names.set(name, worse(names.get(name), verdict))
  }

  lookup(schema: string | undefined, name: string): Verdict | undefined {
    return schema === undefined ? this.#anywhere.get(name) : this.#bySchema.get(schema)?.get(name)
  }
}

/** Keeps the worse verdict of a name that is known only while it does harm. */
export const addHarm = (table: Map<string, Verdict>, name: string, verdict: Verdict): void => {
  if (verdict.harm !== "none") table.set(name, worse(table.get(name), verdict))
}
