/**
 * The warning about a transaction that is open for long: it keeps locks, and rows that vacuum could remove.
 */
import * as Effect from "effect/Effect"
import { holderInWords } from "../ConnectionPool/holder.ts"
import type { Holder } from "../ConnectionPool/holder.ts"
import { summary } from "../SqlText.ts"
import type { TransactionInfo } from "../Transaction.ts"

/** In milliseconds. */
export const defaultWarnAfter = 5_000

/** Statements without their values, the last ones last. */
const doing = (texts: ReadonlyArray<string>): string =>
  texts.length === 0 ? "it has run no statement" : `its last statements: ${texts.slice(-10).map(summary).join("; ")}`

export const warnOfAge = (
  { attempt, id, label }: TransactionInfo,
  texts: ReadonlyArray<string>,
  holder: Holder,
  ms: number
): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.logWarning(
      `transaction ${label === undefined ? id : `${JSON.stringify(label)} (${id})`} has been open for ` +
        `${(ms / 1000).toFixed(1)} s, attempt ${attempt}, by ${holderInWords(holder)}; ${doing(texts)}`
    )
  )
