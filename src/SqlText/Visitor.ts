/**
 * What `Walker` reports about a text, in the order of the text. Names are as the server sees them: case folded, unescaped.
 */
import type { Token } from "./Tokenizer.ts"

/** How a parenthesised name is used: certainly called, or perhaps only a keyword, a type or an alias with columns. */
export type CallCertainty = "call" | "construct"

/** The statements that `Walker` reads itself; every other one is a `command`. */
export type QueryVerb = "select" | "values" | "table" | "insert" | "update" | "delete" | "merge"

export interface Visitor {
  /** Set by the visitor when it has seen enough: the walk ends. */
  readonly done: boolean
  /** Whether `operator` and `name` are worth calling. */
  readonly wantsOperators: boolean
  readonly wantsNames: boolean
  /** A statement begins; what follows belongs to it. */
  statement(): void
  /** A query or a data-modifying statement begins; `nested` in parentheses or behind a WITH. */
  query(verb: QueryVerb, nested: boolean): void
  /** A statement of any other kind; its tokens begin at `tokens[index]`. */
  command(verb: string, tokens: ReadonlyArray<Token>, index: number): void
  /** The statement that follows is explained, or run and explained. */
  explain(analyze: boolean): void
  /** A COPY begins; its relation or query follows, then its target. */
  copy(): void
  /** Into the database, out to the client, or out to a file or program on the server. */
  copyTarget(target: "database" | "client" | "server"): void
  /** A table, view or sequence that is read from (`source`) or written to (`target`). */
  relation(schema: string | undefined, name: string, use: "source" | "target"): void
  call(schema: string | undefined, name: string, certainty: CallCertainty): void
  /** `value.name`: a column, or a function of one row in the notation of a column. */
  attribute(name: string): void
  operator(text: string): void
  /** Any name anywhere, for those that do harm wherever they stand. */
  name(name: string): void
  /** SELECT .. INTO, or a locking clause. */
  clause(text: "INTO" | "FOR UPDATE" | "FOR SHARE"): void
  /** A literal in quotes, which may hide something where backslashes escape. */
  string(token: Token): void
  /** The text is not SQL that this walk understands; nothing more is reported. */
  malformed(why: string): void
}
