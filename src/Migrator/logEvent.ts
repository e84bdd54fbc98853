/**
 * Writes events to the log, for runs that nobody watches.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { describeBlocker, MigrationEvent } from "./Event.ts"
import type { Blocker } from "./Event.ts"

const names = (blockers: ReadonlyArray<Blocker>): string =>
  blockers.length === 0 ? "somebody who has gone meanwhile" : blockers.map(describeBlocker).join("; ")

export const logEvent: (event: MigrationEvent) => Effect.Effect<void> = MigrationEvent.$match({
  WaitingForLock: ({ holder, waited }) =>
    Effect.logInfo(`plinth: waiting ${Duration.format(waited)} for ${holder}, which migrates this database`),
  WaitingForOrphan: ({ pid }) => Effect.logInfo(`plinth: waiting for the end of an earlier run in server pid ${pid}`),
  MigrationStarted: ({ direction, done, file, statements }) =>
    Effect.logInfo(
      `plinth: ${direction === "up" ? "applying" : "taking back"} ${file}` +
        (done === 0 ? "" : ` from statement ${done + 1} of ${statements}`)
    ),
  StatementStarted: ({ file, line }) => Effect.logDebug(`plinth: ${file}:${line}`),
  StatementFinished: ({ id, number, took }) => Effect.logDebug(`plinth: ${id} #${number} ${Duration.format(took)}`),
  Blocked: ({ blockers, id }) => Effect.logWarning(`plinth: ${id} waits for ${names(blockers)}`),
  Retrying: ({ attempt, blockers, id }) =>
    Effect.logWarning(`plinth: ${id} gave way after try ${attempt} to ${names(blockers)}`),
  Repaired: ({ description, id }) => Effect.logWarning(`plinth: ${id}: ${description}`),
  MigrationFinished: ({ direction, id, took }) =>
    Effect.logInfo(`plinth: ${id} ${direction === "up" ? "applied" : "taken back"} in ${Duration.format(took)}`),
  Notice: ({ message }) => Effect.logInfo(`plinth: ${message}`)
})
