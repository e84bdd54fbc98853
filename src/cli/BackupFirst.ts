/**
 * A backup before something is lost, and how to get back at what was.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Backup from "../Backup.ts"
import type { Settings } from "../DatabaseConfig.ts"
import { Output } from "./Output.ts"
import * as standard from "./specs/standardOptions.ts"
import * as Variables from "./Variables.ts"

/** A backup that was taken. */
export interface Taken {
  readonly label: string
  /** The folder that holds it. */
  readonly directory: string
}

/** Backs up the whole cluster, which holds this database too. `remark` stands behind the notice. */
export const take = (settings: Settings, storage: Option.Option<string>, remark = "") =>
  Effect.gen(function* () {
    const { notice } = yield* Output
    const directory = yield* Variables.text(storage, standard.storage)
    yield* notice(`Taking a backup into ${directory} first${remark} ..`)
    const { label } = yield* Effect.provide(
      Effect.flatMap(Backup.Backup, (backup) => backup.create()),
      Backup.layer({ source: settings.primary, directory })
    )
    return { label, directory } satisfies Taken
  })

/** The command that restores it. */
export const restoring = ({ directory, label }: Taken): string =>
  `plinth backup restore ${label} --storage ${directory} --into <new directory>`
