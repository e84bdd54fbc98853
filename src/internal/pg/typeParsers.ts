/**
 * How values of PostgreSQL's types become JavaScript.
 */
import * as Pg from "pg"
import type { TypeParsers } from "./Result.ts"

/**
 * What differs from node-postgres' own conversions, which `@effect/sql-pg` has too.
 *
 * @since 0.1.0
 * @category options
 */
export interface TypeOptions {
  /**
   * `int8`, and arrays of it: "string" loses nothing and is what node-postgres does, "bigint" loses nothing either and
   * does not go into JSON.
   *
   * @default "string"
   */
  readonly int8?: "string" | "bigint" | undefined
  /** By the type's OID, from the text that the server sends; arrays are types of their own. */
  readonly parsers?: { readonly [oid: number]: (text: string) => unknown } | undefined
}

const int8 = 20
const int8Array: number = 1016

const stock: TypeParsers = Pg.types

/** node-postgres' own, but for what is given. */
export const make = ({ int8: as, parsers }: TypeOptions): TypeParsers => {
  const own = new Map<number, (text: string) => unknown>()
  if (as === "bigint") {
    const array = stock.getTypeParser(int8Array, "text")
    own.set(int8, BigInt)
    own.set(int8Array, (text) => deepBigInt(array(text)))
  }
  for (const [oid, parse] of Object.entries(parsers ?? {})) own.set(Number(oid), parse)
  return { getTypeParser: (oid, format) => own.get(oid) ?? stock.getTypeParser(oid, format) }
}

/** Arrays may have several dimensions, and hold nulls. */
const deepBigInt = (value: unknown): unknown =>
  Array.isArray(value) ? value.map(deepBigInt) : typeof value === "string" ? BigInt(value) : value
