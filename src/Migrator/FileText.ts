/**
 * The text of a SQL file from its bytes, which must be UTF-8: what is anything else would reach the database as other
 * characters than were written.
 */
import * as Either from "effect/Either"
import { placeOf } from "./Excerpt.ts"

/** Why bytes are no text, and where; line and column count from 1. */
export interface NotText {
  readonly problem: string
  readonly line: number
  readonly column: number
}

/** The text without a BOM, and with LF line ends: the same on every system. */
export const decode = (bytes: Uint8Array): Either.Either<string, NotText> => {
  const isUtf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)
  if (isUtf16) return Either.left({ problem: "it is UTF-16 and not UTF-8", line: 1, column: 1 })
  const text = new TextDecoder().decode(bytes)
  const wrong = firstReplaced(bytes, text)
  if (wrong !== undefined) return Either.left({ problem: "it is not UTF-8 here", ...placeOf(text, wrong) })
  // On the wire a NUL ends the statement, and what stands after it would never run.
  const nul = text.indexOf("\0")
  if (nul >= 0) return Either.left({ problem: "it has a NUL byte here", ...placeOf(text, nul) })
  return Either.right(normalizeText(text))
}

/** Without a BOM and with LF line ends. */
export const normalizeText = (text: string): string => text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n")

/** Where the decoder put a replacement character: what it made of the bytes is not the bytes. */
const firstReplaced = (bytes: Uint8Array, text: string): number | undefined => {
  const again = new TextEncoder().encode(text)
  // The decoder takes the BOM away.
  const bom = bytes.length > 2 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  const differs = again.findIndex((byte, index) => byte !== bytes[index + bom])
  // `stream` holds a cut character back.
  return differs < 0 ? undefined : new TextDecoder().decode(again.subarray(0, differs), { stream: true }).length
}
