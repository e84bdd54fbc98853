/**
 * Tells the person at the terminal what a migration run is doing.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
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

const after = (waited: Duration.Duration): string =>
  Duration.toMillis(waited) < 1000 ? "" : ` (${Format.duration(waited)})`

const names = (blockers: ReadonlyArray<Blocker>): string =>
  blockers.length === 0 ? "somebody who has gone meanwhile" : blockers.map(describeBlocker).join("; ")
