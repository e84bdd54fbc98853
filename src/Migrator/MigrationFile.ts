/**
 * A migration as it was read: its identity, its text and checksums, and what to run in each direction.
 */
import type * as Effect from "effect/Effect"
import type { Boundary } from "./Boundary.ts"
import type { Directives } from "./Directives.ts"
import type { Migration } from "./Migration.ts"
import type { MigrationError } from "./MigrationError.ts"

/** One statement of a script. */
export interface Statement {
  /** Counts from 1 within its script. */
  readonly number: number
  readonly text: string
  /** Its tokens without comments, joined by single spaces. */
  readonly normalized: string
  /** UTF-16 offset into the script's text. */
  readonly offset: number
  readonly line: number
  readonly column: number
  readonly boundary: Boundary
}

/** SQL to run, with the file that it stands in. */
export interface Script {
  readonly _tag: "Script"
  readonly file: string
  /** The text that offsets count in; line ends are LF. */
  readonly text: string
  readonly directives: Directives
  readonly statements: ReadonlyArray<Statement>
}

/** A program to run; it is imported only when it is about to run. */
export interface Code {
  readonly _tag: "Code"
  readonly file: string
  readonly load: Effect.Effect<Migration, MigrationError>
}

/** How a migration is applied: once in the order of its id, or again whenever its text changes. */
export type Kind = "versioned" | "repeatable"

/** A migration as it was read. */
export interface MigrationFile {
  /** The digits of the file name as written, or `R__name` of a repeatable one. */
  readonly id: string
  readonly name: string
  readonly file: string
  readonly kind: Kind
  /** The whole file with LF line ends and without BOM. */
  readonly text: string
  /** SHA-256 of `text`. */
  readonly rawChecksum: string
  /** SHA-256 of the tokens that run, without comments and white space. */
  readonly semanticChecksum: string
  readonly directives: Directives
  readonly up: Script | Code
  readonly down: Script | Code | undefined
  /** The text of the down script, wherever it stands. */
  readonly downText: string | undefined
}

/** The numeric order of ids; they have at most 14 digits, which a number holds exactly. */
export const byId = (a: { readonly id: string }, b: { readonly id: string }): -1 | 0 | 1 =>
  Number(a.id) < Number(b.id) ? -1 : Number(a.id) > Number(b.id) ? 1 : 0
