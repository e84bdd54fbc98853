/**
 * A session's floor as text for a cookie, a header or a job.
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Floor } from "./Session.ts"

const Token = Schema.parseJson(
  Schema.Struct({
    v: Schema.Literal(1),
    s: Schema.NonEmptyString,
    t: Schema.Int,
    l: Schema.BigInt
  })
)

const encodeToken = Schema.encodeSync(Token)
const decodeToken = Schema.decodeUnknownOption(Token)

/** URL-safe, opaque to whoever carries it. */
export const encode = (floor: Floor): string =>
  Encoding.encodeBase64Url(encodeToken({ v: 1, s: floor.systemIdentifier, t: floor.timeline, l: floor.lsn }))

/** What is said where no position is known: like every text that is not a token, it means "everything up to now". */
export const asOfReceipt = "now"

/** None for anything that is not a token. */
export const decode = (token: string): Option.Option<Floor> =>
  Option.map(Option.flatMap(Either.getRight(Encoding.decodeBase64UrlString(token)), decodeToken), ({ l, s, t }) => ({
    systemIdentifier: s,
    timeline: t,
    lsn: l
  }))
