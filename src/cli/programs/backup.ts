/**
 * `plinth backup`: what each command does.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Backup from "../../Backup.ts"
import * as DatabaseConfig from "../../DatabaseConfig.ts"
import * as Exit from "../Exit.ts"
import * as Format from "../Format.ts"
import type { DatabaseOptions } from "../Options.ts"
import { Output } from "../Output.ts"
import * as Progress from "../Progress.ts"
import * as Session from "../Session.ts"
import * as standard from "../specs/standardOptions.ts"
import { table } from "../Table.ts"
import * as Variables from "../Variables.ts"

/** Where the backups are. */
interface Storage {
  readonly storage: Option.Option<string>
}

/** Which one. */
interface Labelled extends Storage {
  readonly label: Option.Option<string>
}

const newest = "latest"

const labelOf = (input: Labelled): string => Option.getOrElse(input.label, () => newest)

/** Makes a backup. */
export const create = (input: Storage & { readonly database: DatabaseOptions; readonly compress: "gzip" | "none" }) =>
  Effect.gen(function* () {
    const output = yield* Output
    const { settings } = yield* Session.open(input.database, "none")
    const directory = yield* Variables.text(input.storage, standard.storage)
    const onProgress = yield* progress
    const layer = Backup.layer({ source: settings.primary, directory, compression: input.compress })
    const manifest = yield* Effect.provide(
      Effect.flatMap(Backup.Backup, (backup) => backup.create({ onProgress })),
      layer
    )
    yield* Effect.forEach(manifest.warnings, (warning) => output.notice(`Warning: ${warning}`), { discard: true })
    yield* output.result({
      json: () => ({ schema: "plinth.backup.create/1", ...encode(manifest) }),
      text: () => `${manifest.label}  ${Format.bytes(storedBytes(manifest))} in ${directory}`
    })
  }).pipe(Effect.scoped)

/** Lists the backups. */
export const list = (input: Storage) =>
  Effect.gen(function* () {
    const output = yield* Output
    const { backups, unreadable } = yield* withBackup(input, (backup) => backup.list)
    const width = yield* output.width
    yield* Effect.forEach(
      unreadable,
      ({ label, problem }) => output.notice(`Warning: ${label} is unreadable: ${problem}`),
      {
        discard: true
      }
    )
    yield* output.result({
      json: () => ({
        schema: "plinth.backup.list/1",
        backups: backups.map((manifest) => encode(manifest)),
        unreadable
      }),
      text: () =>
        backups.length === 0
          ? "no backups"
          : table(
              [
                { title: "label" },
                { title: "taken" },
                { title: "stored", align: "right" },
                { title: "cluster", align: "right" },
                { title: "server" }
              ],
              backups.map((manifest) => [
                manifest.label,
                DateTime.formatIso(manifest.start.at),
                Format.bytes(storedBytes(manifest)),
                Format.bytes(clusterBytes(manifest)),
                manifest.server.version
              ]),
              { width, heading: output.style.bold }
            )
    })
  })

/** Shows a manifest. */
export const show = (input: Labelled) =>
  Effect.gen(function* () {
    const output = yield* Output
    const manifest = yield* withBackup(input, (backup) => backup.show(labelOf(input)))
    yield* output.result({
      json: () => ({ schema: "plinth.backup.show/1", ...encode(manifest) }),
      text: () => JSON.stringify(encode(manifest), null, 2)
    })
  })

/** Reads a backup back. Damage is a failure. */
export const verify = (input: Labelled) =>
  Effect.gen(function* () {
    const output = yield* Output
    const onProgress = yield* progress
    const found = yield* withBackup(input, (backup) => backup.verify(labelOf(input), { onProgress }))
    yield* output.result({
      json: () => ({
        schema: "plinth.backup.verify/1",
        label: found.label,
        ok: found.ok,
        findings: found.findings,
        files: found.files,
        bytes: found.bytes
      }),
      text: () =>
        found.ok
          ? `${found.label} is intact: ${Format.plural(found.files, "file")}, ${Format.bytes(found.bytes)}, read in ${Format.duration(found.elapsed)}`
          : [`${found.label} is damaged:`, ...found.findings.map(({ file, problem }) => `  ${file}: ${problem}`)].join(
              "\n"
            )
    })
    yield* Exit.finish(found.ok ? Exit.done : Exit.failed)
  }).pipe(Effect.scoped)

/** Restores a backup into a new data directory. */
export const restore = (input: Labelled & { readonly into: Option.Option<string> }) =>
  Effect.gen(function* () {
    const output = yield* Output
    if (Option.isNone(input.into)) {
      return yield* Exit.misused("`plinth backup restore` needs --into", "Name a directory that does not exist yet")
    }
    const path = yield* Path.Path
    const directory = path.resolve(input.into.value)
    const onProgress = yield* progress
    const restored = yield* withBackup(input, (backup) => backup.restore(labelOf(input), { directory, onProgress }))
    yield* Effect.forEach(restored.warnings, (warning) => output.notice(`Warning: ${warning}`), { discard: true })
    yield* output.result({
      json: () => ({ schema: "plinth.backup.restore/1", ...restored }),
      text: () =>
        `${restored.label} is restored into ${restored.directory}: ${Format.plural(restored.files, "file")}, ${Format.bytes(restored.bytes)}`
    })
  }).pipe(Effect.scoped)

/** The commands that only look at the storage reach no server. */
const withBackup = <A, E, R>(input: Storage, use: (backup: Backup.Backup["Type"]) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const directory = yield* Variables.text(input.storage, standard.storage)
    yield* requireDirectory(directory)
    const { primary } = yield* DatabaseConfig.make()
    return yield* Effect.provide(Effect.flatMap(Backup.Backup, use), Backup.layer({ source: primary, directory }))
  })

/** A folder that is not there is a misspelt one, or a drive that is not mounted: more than "no backups". */
const requireDirectory = (directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    // One that cannot be looked at is left to the storage, which says why.
    if (yield* Effect.orElseSucceed(fs.exists(directory), () => true)) return
    return yield* Exit.refused(
      `The folder ${path.resolve(directory)} does not exist, so there are no backups to look at`,
      `Check --${standard.storage.name} and ${standard.storage.variable}, and whether its drive is mounted; \`plinth backup create\` makes the folder`
    )
  })

const encode = Schema.encodeSync(Backup.BackupManifest)

const storedBytes = (manifest: Backup.BackupManifest): number =>
  manifest.files.reduce((total, file) => total + file.bytes, 0)

const clusterBytes = (manifest: Backup.BackupManifest): number =>
  manifest.files.reduce((total, file) => total + (file.kind === "archive" ? file.tarBytes : 0), 0)

const phases: Readonly<Record<Backup.Phase, string>> = {
  checkpoint: "Waiting for the server's checkpoint",
  copy: "Copying",
  verify: "Verifying",
  restore: "Restoring",
  sync: "Forcing to disk"
}

const progress = Effect.map(
  Progress.make,
  (show): Backup.OnProgress =>
    ({ bytes, bytesPerSecond, phase, totalBytes }) =>
      show({ label: phases[phase], done: bytes, total: totalBytes, perSecond: bytesPerSecond, unit: Format.bytes })
)
