/**
 * Turns a snapshot of a server's catalogue into verdicts: harm spreads from volatile functions, unlogged and temporary
 * tables and sequences to everything that uses them, however far away.
 */
import { bodyNames } from "./bodyNames.ts"
import { addHarm, type Catalog, harmless, NameTable, type Verdict } from "./Catalog.ts"
import { harmlessExtensionFunctions } from "./exceptions.ts"
import type { Snapshot } from "./Snapshot.ts"
import { type CatalogOptions, isAllowed, systemVerdict, volatile } from "./systemFunctions.ts"

/** What harm spreads along: an object and those that use it, by the ids of `snapshotSql`. */
class HarmGraph {
  readonly #verdicts = new Map<string, Verdict>()
  readonly #users = new Map<string, Array<string>>()
  readonly #labels = new Map<string, string>()
  /** Functions that are declared to change nothing: the planner may call them. */
  readonly #planned = new Set<string>()
  readonly #allowed = new Set<string>()

  describe(id: string, label: string): void {
    this.#labels.set(id, label)
  }

  planned(id: string): void {
    this.#planned.add(id)
  }

  allow(id: string): void {
    this.#allowed.add(id)
  }

  uses(id: string, used: ReadonlyArray<string> | null): void {
    for (const other of used ?? []) {
      const users = this.#users.get(other)
      if (users === undefined) this.#users.set(other, [id])
      else users.push(id)
    }
  }

  harm(id: string, verdict: Verdict): void {
    if (verdict.harm === "none" || this.#allowed.has(id)) return
    const known = this.#verdicts.get(id)
    if (known === undefined || (known.harm === "run" && verdict.harm === "plan")) this.#verdicts.set(id, verdict)
  }

  spread(): void {
    const due = [...this.#verdicts.keys()]
    for (let id = due.pop(); id !== undefined; id = due.pop()) {
      const verdict = this.verdict(id)
      const why = `uses ${this.#labels.get(id) ?? "an object"}, which ${verdict.why}`
      for (const user of this.#users.get(id) ?? []) {
        const before = this.#verdicts.get(user)
        this.harm(user, {
          harm: this.#planned.has(user) ? "plan" : verdict.harm,
          why: verdict.why.startsWith("uses ") ? verdict.why : why
        })
        if (this.#verdicts.get(user) !== before) due.push(user)
      }
    }
  }

  verdict(id: string): Verdict {
    return this.#verdicts.get(id) ?? harmless
  }
}

const unlogged: Verdict = { harm: "plan", why: "is unlogged" }
const temporary: Verdict = { harm: "plan", why: "is temporary" }
/** A standby can read it, but sees the values that the primary has reserved and not those it has given out. */
const sequence: Verdict = { harm: "run", why: "is a sequence" }

/** Types that SQL spells otherwise than the catalogue; only casts of the user's own make any of them harmful. */
const spellings: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["bool", ["bool", "boolean"]],
  ["int2", ["int2", "smallint"]],
  ["int4", ["int4", "int", "integer"]],
  ["int8", ["int8", "bigint"]],
  ["float4", ["float4", "real", "float"]],
  ["float8", ["float8", "double", "float"]],
  ["numeric", ["numeric", "decimal", "dec"]],
  ["bpchar", ["bpchar", "char", "character", "nchar", "national"]],
  ["varchar", ["varchar", "char", "character", "nchar", "national"]],
  ["varbit", ["varbit", "bit"]],
  ["timestamptz", ["timestamptz", "timestamp"]],
  ["timetz", ["timetz", "time"]]
])

const words = (list: string): ReadonlyArray<string> => list.split(" ")

/** The search path knows a session's temporary schema by this name only. */
const schemasOf = (schema: string): ReadonlyArray<string> =>
  schema.startsWith("pg_temp_") ? [schema, "pg_temp"] : [schema]

export const catalogOf = (snapshot: Snapshot, options: CatalogOptions): Catalog => {
  const graph = graphOf(snapshot, new Set(options.allow))
  const functions = new NameTable()
  const relations = new NameTable()
  const attributes = new Map<string, Verdict>()
  const operators = new Map<string, Verdict>()
  const types = new Map<string, Verdict>()

  for (const name of words(snapshot.systemFunctions)) functions.add("pg_catalog", name, harmless)
  for (const name of words(snapshot.systemTypes)) functions.add("pg_catalog", name, harmless)
  for (const { id, name } of snapshot.systemSuspects) functions.add("pg_catalog", name, graph.verdict(`f${id}`))
  for (const { attribute, id, name, schema } of snapshot.functions) {
    const verdict = graph.verdict(`f${id}`)
    for (const alias of schemasOf(schema)) functions.add(alias, name, verdict)
    if (attribute === true) addHarm(attributes, name, verdict)
  }
  for (const { id, name } of snapshot.operators) addHarm(operators, name, graph.verdict(`o${id}`))
  for (const { id, name, schema } of snapshot.types) {
    const verdict = graph.verdict(`n${id}`)
    functions.add(schema, name, verdict)
    for (const spelling of spellings.get(name) ?? [name]) addHarm(types, spelling, verdict)
  }
  for (const { name, schema } of snapshot.systemRelations) relations.add(schema, name, harmless)
  for (const { id, name, schema } of snapshot.relations) {
    for (const alias of schemasOf(schema)) relations.add(alias, name, graph.verdict(`r${id}`))
  }
  return {
    functions,
    relations,
    knowsRelations: true,
    attributes,
    operators,
    types,
    backslashEscapes: snapshot.backslashEscapes
  }
}

const graphOf = (snapshot: Snapshot, allow: ReadonlySet<string>): HarmGraph => {
  const graph = new HarmGraph()
  const functionIds = new Index()
  const relationIds = new Index()

  for (const { id, name, volatile: isVolatile } of snapshot.systemSuspects) {
    const node = `f${id}`
    graph.describe(node, `${name}()`)
    functionIds.add("pg_catalog", name, node)
    if (isAllowed(allow, "pg_catalog", name)) graph.allow(node)
    graph.harm(node, systemVerdict(name, isVolatile))
  }
  for (const { extension, id, name, parts, schema, types, uses, volatile: isVolatile } of snapshot.functions) {
    const node = `f${id}`
    graph.describe(node, `${name}()`)
    functionIds.add(schema, name, node)
    const isShipped = harmlessExtensionFunctions.get(extension ?? "")?.has(name) === true
    if (isAllowed(allow, schema, name) || isShipped) graph.allow(node)
    if (isVolatile) graph.harm(node, volatile)
    else if (parts === null || parts.length === 0) graph.planned(node)
    for (const used of [uses, parts, types]) graph.uses(node, used)
  }
  for (const { code, id, name } of snapshot.operators) {
    graph.describe(`o${id}`, `operator ${name}`)
    graph.uses(`o${id}`, [code])
  }
  for (const { children, columns, id, kind, name, persistence, policies, schema, uses } of snapshot.relations) {
    const node = `r${id}`
    graph.describe(node, name)
    relationIds.add(schema, name, node)
    if (persistence === "u") graph.harm(node, unlogged)
    else if (persistence === "t") graph.harm(node, temporary)
    else if (kind === "S") graph.harm(node, sequence)
    for (const used of [uses, children, columns, ...(policies ?? [])]) graph.uses(node, used)
  }
  for (const {
    attributes,
    base,
    casts,
    constraints,
    conversions,
    element,
    id,
    input,
    name,
    output
  } of snapshot.types) {
    graph.describe(`t${id}`, `type ${name}`)
    // A value of the type is made (t) or shown (v), or the type is named (n), which is making one or casting to it.
    for (const used of [[input, base, element], attributes, ...(constraints ?? [])]) graph.uses(`t${id}`, used)
    for (const used of [[output], conversions]) graph.uses(`v${id}`, used)
    for (const used of [[`t${id}`], casts]) graph.uses(`n${id}`, used)
  }
  for (const { body, id } of snapshot.functions) {
    if (body === null) continue
    for (const { kind, name, schema } of bodyNames(body)) {
      graph.uses(`f${id}`, (kind === "function" ? functionIds : relationIds).find(schema, name))
    }
  }
  graph.spread()
  return graph
}

/** Ids by name, for bodies that are known as text only. */
class Index {
  readonly #ids = new Map<string, Array<{ readonly schema: string; readonly id: string }>>()

  add(schema: string, name: string, id: string): void {
    const entries = this.#ids.get(name)
    if (entries === undefined) this.#ids.set(name, [{ schema, id }])
    else entries.push({ schema, id })
  }

  find(schema: string | undefined, name: string): ReadonlyArray<string> {
    const entries = this.#ids.get(name) ?? []
    return entries.filter((entry) => schema === undefined || entry.schema === schema).map((entry) => entry.id)
  }
}
