/**
 * The prepared statements of one connection, by text; the least recently used one is closed at the limit.
 */
import * as Predicate from "effect/Predicate"
import type { RowShape } from "./Result.ts"

/** A statement under its name on the server. */
export interface Prepared {
  readonly name: string
  /** The server has it, unless an exchange that has not been answered yet fails. */
  ready: boolean
  /** What its rows look like, once the server has described them; a named statement always answers the same. */
  shape: RowShape | undefined
}

export class StatementCache {
  private readonly entries = new Map<string, Prepared>()
  private newest: Prepared | undefined
  private count = 0
  private readonly limit: number

  constructor(limit: number) {
    this.limit = limit
  }

  /** The statement of a text. `close` is called with the name that the server must forget first. */
  use(text: string, close: (name: string) => void): Prepared {
    const known = this.entries.get(text)
    if (known?.ready === true) {
      // The map's order is the order of use; the newest needs no moving.
      if (known !== this.newest) {
        this.entries.delete(text)
        this.entries.set(text, known)
        this.newest = known
      }
      return known
    }
    if (known !== undefined) {
      // Anew under another name: exchanges that are under way still read their answers by the old one.
      this.entries.delete(text)
      close(known.name)
    } else if (this.entries.size >= this.limit) {
      for (const [oldText, old] of this.entries) {
        this.entries.delete(oldText)
        close(old.name)
        break
      }
    }
    const entry: Prepared = { name: `plinth_${this.count++}`, ready: false, shape: undefined }
    this.entries.set(text, entry)
    this.newest = entry
    return entry
  }

  /** The session has forgotten all of them. */
  clear(): void {
    this.entries.clear()
    this.newest = undefined
  }
}

/**
 * Whether a text is a statement whose plan PostgreSQL revalidates. The rows of a utility statement (FETCH, EXECUTE, CALL,
 * SHOW) can look different every time, and nothing says so.
 */
export const isPlanned = (text: string): boolean =>
  /^[\s(]*(?:select|values|table|with|insert|update|delete|merge)\b/i.test(text)

/** The prepared statement is gone (26000) or its result type changed under it (0A000): preparing it again helps. */
export const isStalePlan = (error: unknown): boolean =>
  Predicate.hasProperty(error, "code") &&
  (error.code === "26000" ||
    (error.code === "0A000" &&
      Predicate.hasProperty(error, "message") &&
      String(error.message).includes("cached plan must not change result type")))
