/**
 * Tells the person at the terminal what a migration run is doing.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import { describeBlocker } from "../Migrator/Event.ts"
import { MigrationEvent } from "../Migrator.ts"
import type { Blocker } from "../Migrator.ts"
import * as Format from "./Format.ts"
import { Output } from "./Output.ts"

/** What to give `Migrator.make` as `onEvent`. */
export const narrate: Effect.Effect<(event: MigrationEvent) => Effect.Effect<void>, never, Output> = Effect.gen(
  function* () {
    const { notice } = yield* Output
    return MigrationEvent.$match({
      WaitingForLock: ({ holder, waited }) =>
        notice(`Waiting for ${holder}, which migrates this database${after(waited)} ..`),
      WaitingForOrphan: ({ pid, waited }) =>
        notice(`Waiting for the end of an interrupted run, server pid ${pid}${after(waited)} ..`),
      MigrationStarted: ({ direction, done, file, statements }) =>
        notice(
          `${direction === "up" ? "Applying" : "Taking back"} ${file}` +
            (done === 0 ? "" : `, from statement ${done + 1} of ${statements}`)
        ),
      StatementStarted: ({ file, line }) => Effect.logDebug(`${file}:${line}`),
      StatementFinished: ({ id, number, took }) => Effect.logDebug(`${id} #${number} ${Format.duration(took)}`),
      Blocked: ({ blockers }) => notice(`  waits for ${names(blockers)}`),
      Retrying: ({ attempt, blockers }) => notice(`  gave way to ${names(blockers)} and tries again (${attempt})`),
      Repaired: ({ description, id }) => notice(`${id}: ${description}`),
      MigrationFinished: () => Effect.void,
      Notice: ({ message }) => notice(`Note: ${message}`)
    })
  }
)

/** The same, and what to say when the run is interrupted: only a run that ends says what it did. */
export const narrateRun = Effect.gen(function* () {
  const { notice } = yield* Output
  const tell = yield* narrate
  const finished = yield* Ref.make<ReadonlyArray<string>>([])
  const current = yield* Ref.make(Option.none<string>())
  const onEvent = (event: MigrationEvent): Effect.Effect<void> =>
    Effect.zipRight(
      event._tag === "MigrationStarted"
        ? Ref.set(current, Option.some(event.file))
        : event._tag === "MigrationFinished"
          ? Effect.zipRight(
              Ref.update(finished, (ids) => [...ids, event.id]),
              Ref.set(current, Option.none())
            )
          : Effect.void,
      tell(event)
    )
  const interrupted = Effect.gen(function* () {
    const done = yield* Ref.get(finished)
    const file = yield* Ref.get(current)
    const before = done.length === 0 ? "nothing was done before it" : `${done.join(", ")} done, and kept`
    yield* notice(
      Option.match(file, {
        onNone: () => `Interrupted: ${done.length === 0 ? "nothing was done" : before}.`,
        onSome: (name) =>
          `Interrupted in ${name}: what it had not committed is rolled back; ${before}. ` +
          "`plinth migrate status` says where it stands, and the next run goes on from there."
      })
    )
  })
  return { onEvent, interrupted }
})

const after = (waited: Duration.Duration): string =>
  Duration.toMillis(waited) < 1000 ? "" : ` (${Format.duration(waited)})`

const names = (blockers: ReadonlyArray<Blocker>): string =>
  blockers.length === 0 ? "somebody who has gone meanwhile" : blockers.map(describeBlocker).join("; ")
