/**
 * Judges one text against a catalogue: what `Walker` reports, weighed.
 */
import type { CallCertainty, QueryVerb, Visitor } from "../SqlText/Visitor.ts"
import type { Token } from "../SqlText/Tokenizer.ts"
import { isWord } from "../SqlText/names.ts"
import { walk } from "../SqlText/Walker.ts"
import type { Catalog, Verdict } from "./Catalog.ts"

/**
 * What may run a statement. `read` is fit for a standby; `write` is for the primary; `session` changes or depends on the
 * state of its connection; `unknown` could not be judged and is routed like a write.
 *
 * @since 0.1.0
 * @category models
 */
export type StatementClass = "read" | "write" | "session" | "unknown"

/**
 * @since 0.1.0
 * @category models
 */
export interface Classification {
  readonly class: StatementClass
  /** The word or name that decided, in a few words for people: `nextval() is volatile`. */
  readonly reason: string
}

const severity = { read: 0, session: 1, unknown: 2, write: 3 } as const

const words = (list: string): ReadonlyArray<string> => list.split(" ")

const sessionCommands = new Set(
  words(
    "abort begin close commit deallocate declare discard end execute fetch listen load move prepare release reset " +
      "rollback savepoint set start unlisten"
  )
)
const writeCommands = new Set(
  words(
    "alter analyse analyze call checkpoint cluster comment create do drop grant import lock notify reassign refresh " +
      "reindex repack revoke security truncate vacuum"
  )
)
/** Statements that EXPLAIN can plan without running them. */
const plannedCommands = new Set(["create", "declare", "refresh"])
/** The second words that make a write of a transaction command: PREPARE TRANSACTION, COMMIT PREPARED .. */
const twoPhase = ["transaction", "prepared"]

export const judge = (sql: string, catalog: Catalog): Classification => {
  const judgement = new Judgement(sql, catalog)
  walk(sql, judgement)
  return { class: judgement.class, reason: judgement.reason }
}

class Judgement implements Visitor {
  class: StatementClass = "read"
  reason = "nothing to run"
  readonly wantsOperators: boolean
  readonly wantsNames: boolean
  readonly #sql: string
  readonly #catalog: Catalog
  /** The statement is only planned: EXPLAIN without ANALYZE. */
  #planned = false
  #explained = false
  #empty = true

  constructor(sql: string, catalog: Catalog) {
    this.#sql = sql
    this.#catalog = catalog
    this.wantsOperators = catalog.operators.size > 0
    this.wantsNames = catalog.types.size > 0
  }

  /** Nothing is worse than a write. */
  get done(): boolean {
    return this.class === "write"
  }

  #is(found: StatementClass, reason: string): void {
    if (this.#empty || severity[found] > severity[this.class]) {
      this.#empty = false
      this.class = found
      this.reason = reason
    }
  }

  #verdict(verdict: Verdict, label: string): void {
    if (verdict.harm === "plan" || (verdict.harm === "run" && !this.#planned))
      this.#is("write", `${label} ${verdict.why}`)
  }

  statement(): void {
    this.#planned = false
    this.#explained = false
  }

  explain(analyze: boolean): void {
    this.#planned = !analyze
    this.#explained = true
    this.#is("read", analyze ? "EXPLAIN ANALYZE" : "EXPLAIN")
  }

  query(verb: QueryVerb, nested: boolean): void {
    const name = verb.toUpperCase()
    if (verb === "select" || verb === "values" || verb === "table" || this.#planned) this.#is("read", name)
    else this.#is("write", nested ? `${name} inside a query` : name)
  }

  command(verb: string, tokens: ReadonlyArray<Token>, index: number): void {
    const name = verb.toUpperCase()
    const second = tokens[index + 1]
    if (this.#explained && this.#planned && plannedCommands.has(verb)) this.#is("read", name)
    else if (twoPhase.some((word) => isWord(this.#sql, second, word)) && /^(?:prepare|commit|rollback)$/.test(verb)) {
      this.#is("write", `${name} ${this.#sql.slice(second?.start, second?.end).toUpperCase()}`)
    } else if (verb === "show") this.#is("read", name)
    else if (sessionCommands.has(verb)) this.#is("session", name)
    else if (writeCommands.has(verb)) this.#is("write", name)
    else this.#is("unknown", `${name} is no statement of PostgreSQL`)
  }

  copy(): void {
    this.#is("read", "COPY")
  }

  copyTarget(target: "database" | "client" | "server"): void {
    if (target === "database") this.#is("write", "COPY FROM")
    else if (target === "server") this.#is("write", "COPY TO a file or program of the server")
  }

  relation(schema: string | undefined, name: string): void {
    const verdict = this.#catalog.relations.lookup(schema, name)
    if (verdict !== undefined) this.#verdict(verdict, label(schema, name))
    else if (this.#catalog.knowsRelations) {
      this.#is("unknown", `relation ${label(schema, name)} is not in the catalogue`)
    }
  }

  call(schema: string | undefined, name: string, certainty: CallCertainty): void {
    const verdict = this.#catalog.functions.lookup(schema, name)
    if (verdict !== undefined) this.#verdict(verdict, `${label(schema, name)}()`)
    else if (certainty === "call") this.#is("unknown", `function ${label(schema, name)} is not in the catalogue`)
  }

  attribute(name: string): void {
    const verdict = this.#catalog.attributes.get(name)
    if (verdict !== undefined) this.#verdict(verdict, `${name}()`)
  }

  operator(text: string): void {
    const verdict = this.#catalog.operators.get(text)
    if (verdict !== undefined) this.#verdict(verdict, `operator ${text}`)
  }

  name(name: string): void {
    const verdict = this.#catalog.types.get(name)
    if (verdict !== undefined) this.#verdict(verdict, `type ${name}`)
  }

  clause(text: string): void {
    if (!this.#planned) this.#is("write", text)
  }

  string(token: Token): void {
    if (!this.#catalog.backslashEscapes || this.#sql.charCodeAt(token.start) !== 39) return
    if (this.#sql.slice(token.start, token.end).includes("\\")) {
      this.#is("unknown", "a backslash in a literal while standard_conforming_strings is off")
    }
  }

  malformed(why: string): void {
    this.#is("unknown", why)
  }
}

const label = (schema: string | undefined, name: string): string => (schema === undefined ? name : `${schema}.${name}`)
