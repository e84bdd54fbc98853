/**
 * What every server of one cluster shares: the binaries, the account that runs them, and the watchdog over them.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Binaries } from "./Binaries.ts"
import * as BinariesFinder from "./Binaries.ts"
import type { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import type { ServerAccount } from "./ServerAccount.ts"
import * as Account from "./ServerAccount.ts"
import type { Watchdog } from "./Watchdog.ts"
import * as Watchdogs from "./Watchdog.ts"

export interface Installation {
  readonly account: ServerAccount
  readonly binaries: Binaries
  readonly watchdog: Watchdog
}

export const make = (
  binaries: string | undefined
): Effect.Effect<Installation, EmbeddedPostgresError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const account = yield* Account.find
    const watchdog = yield* Watchdogs.make
    return { account, watchdog, binaries: yield* BinariesFinder.find(account, watchdog, binaries) }
  })
