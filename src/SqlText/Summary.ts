/**
 * What a text does to which tables, in the form that telemetry and caches want it.
 */
import { foldCase, nameOf } from "./names.ts"
import type { Token } from "./Tokenizer.ts"
import type { QueryVerb, Visitor } from "./Visitor.ts"
import { walk } from "./Walker.ts"

/** The limit of OpenTelemetry's `db.query.summary`. */
const maxSummaryLength = 255

/**
 * The operations of a text and their targets, in order, as OpenTelemetry's `db.query.summary`: `SELECT orders`,
 * `INSERT shipping SELECT orders`, `CREATE TABLE customer`. At most 255 characters, cut between words; never a literal.
 *
 * @since 0.1.0
 * @category reading
 */
export const summary = (sql: string): string => {
  const targets = new Targets(sql)
  walk(sql, targets)
  let text = ""
  for (const word of targets.words) {
    const longer = text === "" ? word : `${text} ${word}`
    if (longer.length > maxSummaryLength) return text
    text = longer
  }
  return text
}

/**
 * The tables and views that a text names, each once, as `name` or `schema.name` with unquoted names in lower case. Names
 * of CTEs are not among them; what a view or function touches in turn cannot be seen in the text.
 *
 * @since 0.1.0
 * @category reading
 */
export const tables = (sql: string): ReadonlyArray<string> => {
  const targets = new Targets(sql)
  walk(sql, targets)
  return [...targets.relations]
}

class Targets implements Visitor {
  readonly done = false
  readonly wantsOperators = false
  readonly wantsNames = false
  readonly words: Array<string> = []
  readonly relations = new Set<string>()
  readonly #sql: string

  constructor(sql: string) {
    this.#sql = sql
  }

  query(verb: QueryVerb): void {
    this.words.push(verb === "table" ? "SELECT" : verb.toUpperCase())
  }

  relation(schema: string | undefined, name: string): void {
    const target = schema === undefined ? name : `${schema}.${name}`
    this.relations.add(target)
    this.words.push(target)
  }

  copy(): void {
    this.words.push("COPY")
  }

  command(verb: string, tokens: ReadonlyArray<Token>, index: number): void {
    const command = new Command(this.#sql, tokens, index)
    this.words.push(verb.toUpperCase(), ...command.kind)
    for (const target of command.targets) {
      if (command.isTable) this.relations.add(target)
      this.words.push(target)
    }
  }

  statement(): void {}
  explain(): void {
    this.words.push("EXPLAIN")
  }
  copyTarget(): void {}
  call(): void {}
  attribute(): void {}
  operator(): void {}
  name(): void {}
  clause(): void {}
  string(): void {}
  malformed(): void {}
}

/** Words between a verb and the name of its object that say nothing about either. */
const modifiers = new Set(
  (
    "or replace global local temp temporary unlogged unique concurrently if not exists only recursive trusted default " +
    "constraint event"
  ).split(" ")
)
const definitions = new Set(["create", "alter", "drop"])
const tableKinds = new Set(["table", "view", "materialized view", "foreign table"])
/** Commands whose name comes at once, with the kind of object that it is. */
const namesAtOnce = new Map([
  ["truncate", "table"],
  ["lock", "table"],
  ["refresh", "materialized view"],
  ["call", "procedure"]
])

/** What a statement of no query works on, as far as its first words tell. */
class Command {
  readonly kind: ReadonlyArray<string>
  readonly isTable: boolean
  readonly targets: ReadonlyArray<string>
  readonly #sql: string
  readonly #tokens: ReadonlyArray<Token>
  #index: number

  constructor(sql: string, tokens: ReadonlyArray<Token>, index: number) {
    this.#sql = sql
    this.#tokens = tokens
    this.#index = index + 1
    const verb = this.#word(index)
    const implied = namesAtOnce.get(verb)
    this.#skipModifiers()
    const kind = definitions.has(verb) ? this.#objectKind() : ""
    const isIndex = kind === "index" && verb === "create"
    this.kind = kind === "" ? [] : kind.toUpperCase().split(" ")
    this.isTable = isIndex || tableKinds.has(kind) || (implied !== undefined && tableKinds.has(implied))
    if (implied !== undefined) for (const word of implied.split(" ")) if (this.#word() === word) this.#index++
    if (isIndex) while (this.#index < tokens.length && this.#word() !== "on" && !this.#is(";")) this.#index++
    if (isIndex) this.#index++
    this.targets = kind === "" && implied === undefined ? [] : this.#names()
  }

  #objectKind(): string {
    const first = this.#word()
    this.#index++
    if (first !== "materialized" && first !== "foreign") return first
    const second = this.#word()
    this.#index++
    return `${first} ${second}`
  }

  #names(): ReadonlyArray<string> {
    const names: Array<string> = []
    do {
      if (names.length > 0) this.#index++
      this.#skipModifiers()
      const parts: Array<string> = []
      while (this.#isName()) {
        parts.push(this.#name())
        if (!this.#is(".")) break
        this.#index++
      }
      if (parts.length === 0) break
      names.push(parts.slice(-2).join("."))
    } while (this.#is(","))
    return names
  }

  #skipModifiers(): void {
    while (modifiers.has(this.#word())) this.#index++
  }

  #isName(): boolean {
    const kind = this.#tokens[this.#index]?.kind
    return kind === "word" || kind === "quoted"
  }

  #name(): string {
    const token = this.#tokens[this.#index]
    this.#index++
    return token === undefined ? "" : nameOf(this.#sql, token)
  }

  #word(index = this.#index): string {
    const token = this.#tokens[index]
    return token?.kind === "word" ? foldCase(this.#sql.slice(token.start, token.end)) : ""
  }

  #is(text: string): boolean {
    const token = this.#tokens[this.#index]
    return token !== undefined && token.kind === "punctuation" && this.#sql.startsWith(text, token.start)
  }
}
