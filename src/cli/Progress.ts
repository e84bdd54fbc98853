/**
 * How far long work is: one line that is redrawn on a terminal, a line now and then everywhere else. On stderr.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Format from "./Format.ts"
import { Output } from "./Output.ts"
import { Stdio } from "./Stdio.ts"

/** A moment of long work. */
export interface Moment {
  readonly label: string
  readonly done: number
  /** 0 while unknown. */
  readonly total: number
  readonly perSecond: number
  readonly unit: (value: number) => string
}

/** Without a terminal, a line for each phase and then one every so often. */
const plainIntervalMillis = 10_000

/** Shows moments until the scope closes. */
export const make: Effect.Effect<(moment: Moment) => Effect.Effect<void>, never, Output | Stdio | Scope.Scope> =
  Effect.gen(function* () {
    const { notice, options } = yield* Output
    const { stderr } = yield* Stdio
    if (options.quiet) return () => Effect.void

    if (!stderr.isTerminal || options.json) {
      let last = { label: "", atMillis: 0 }
      return (moment) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (moment.label === last.label && now - last.atMillis < plainIntervalMillis) return Effect.void
          last = { label: moment.label, atMillis: now }
          return notice(moment.done === 0 ? `${moment.label} ..` : describe(moment))
        })
    }

    yield* Effect.addFinalizer(() => stderr.write(eraseLine))
    return (moment) =>
      Effect.flatMap(stderr.columns, (columns) => {
        const text = describe(moment)
        const room = columns - text.length - 3
        const drawn = moment.total > 0 && room >= 10 ? `${bar(moment.done / moment.total, Math.min(room, 40))} ` : ""
        return stderr.write(`${eraseLine}${`${drawn}${text}`.slice(0, columns - 1)}`)
      })
  })

const eraseLine = "\r\u001b[K"

const bar = (share: number, width: number): string => {
  const full = Math.round(Math.min(1, share) * width)
  return `[${"#".repeat(full)}${".".repeat(width - full)}]`
}

const describe = ({ done, label, perSecond, total, unit }: Moment): string => {
  const amount = total > 0 ? `${Math.floor((done / total) * 100)} % of ${unit(total)}` : unit(done)
  const rate = perSecond > 0 ? `, ${unit(perSecond)}/s` : ""
  const left = perSecond > 0 && total > done ? Duration.seconds((total - done) / perSecond) : undefined
  return `${label} ${amount}${rate}${left === undefined ? "" : `, ${Format.duration(left)} left`}`
}
