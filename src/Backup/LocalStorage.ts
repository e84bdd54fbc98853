/**
 * Backups in a directory of the local file system, one subdirectory each.
 *
 * `<label>.partial` is being written; `<label>` is complete and on disk; `<label>.trash` is being removed. Only the
 * holder of the lock, a file `.plinth-backup.<token>.lock`, writes here.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { makeDirectories } from "../internal/makeDirectories.ts"
import { BackupError, fromPlatform } from "./BackupError.ts"
import { isLabel } from "./BackupLabel.ts"
import type { BackupStorage, Draft, FileWriter, StorageLock, StoredFile } from "./BackupStorage.ts"
import * as Durable from "./Durable.ts"
import * as FileLock from "./FileLock.ts"

/** The beginning of the names of lock files. */
const lockName = ".plinth-backup"

const partialSuffix = ".partial"
const trashSuffix = ".trash"

/** Read in pieces that keep the number of system calls low and the memory small. */
const readChunkBytes = 1024 * 1024

/** Names of backups that were not finished, or not entirely removed; a person's own files are never among them. */
const leftoversIn = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.filter((name) =>
    [partialSuffix, trashSuffix].some((suffix) => name.endsWith(suffix) && isLabel(name.slice(0, -suffix.length)))
  )

/**
 * The storage in `directory`, which is created when the first backup is written.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (directory: string): Effect.Effect<BackupStorage, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(directory)
    const locks = FileLock.make(fs, path)
    const place = { directory: root, name: lockName }

    /** A directory that was never created holds nothing. One that cannot be read is an error. */
    const names = fs.readDirectory(root).pipe(
      Effect.catchTag("SystemError", (error) =>
        error.reason === "NotFound" ? Effect.succeed([]) : Effect.fail(error)
      ),
      Effect.mapError(fromPlatform(root))
    )

    const notFound = (label: string): BackupError =>
      new BackupError({
        reason: "NotFound",
        label,
        path: root,
        description: `there is no complete backup of that label in ${root}`,
        advice: "List the backups to see which there are."
      })

    const pathOf = (label: string): Effect.Effect<string, BackupError> =>
      Effect.gen(function* () {
        if (!isLabel(label)) return yield* notFound(label)
        const found = path.join(root, label)
        const exists = yield* Effect.mapError(fs.exists(found), fromPlatform(found))
        return exists ? found : yield* notFound(label)
      })

    const files = (label: string): Effect.Effect<ReadonlyArray<StoredFile>, BackupError> =>
      Effect.gen(function* () {
        const found = yield* pathOf(label)
        const read = Effect.gen(function* () {
          const fileNames = yield* fs.readDirectory(found)
          return yield* Effect.forEach(
            fileNames.sort(),
            (name) => Effect.map(fs.stat(path.join(found, name)), ({ size }) => ({ name, bytes: Number(size) })),
            { concurrency: 4 }
          )
        })
        return yield* Effect.mapError(read, fromPlatform(found))
      })

    const read = (label: string, fileName: string): Stream.Stream<Uint8Array, BackupError> =>
      Stream.unwrap(
        Effect.map(pathOf(label), (found) => {
          const file = path.join(found, fileName)
          return Stream.mapError(fs.stream(file, { chunkSize: readChunkBytes, bufferSize: 1 }), fromPlatform(file))
        })
      )

    const writer = (file: string): Effect.Effect<FileWriter, BackupError, Scope.Scope> =>
      Effect.map(Effect.mapError(Durable.create(fs, file), fromPlatform(file)), (handle) => ({
        write: (bytes) => Effect.mapError(handle.write(bytes), fromPlatform(file)),
        finish: Effect.mapError(handle.sync, fromPlatform(file))
      }))

    /** Renamed first, so that whoever writes there can no longer publish what is being removed. */
    const discard = (name: string): Effect.Effect<void, BackupError> => {
      const from = path.join(root, name)
      const trash = name.endsWith(trashSuffix) ? from : from.slice(0, -partialSuffix.length) + trashSuffix
      return (from === trash ? Effect.void : fs.rename(from, trash)).pipe(
        Effect.zipRight(fs.remove(trash, { recursive: true, force: true })),
        // Someone else removed it: what was asked for.
        Effect.catchTag("SystemError", (error) => (error.reason === "NotFound" ? Effect.void : Effect.fail(error))),
        Effect.mapError(fromPlatform(from))
      )
    }

    const draft = (lock: FileLock.FileLock, label: string): Effect.Effect<Draft, BackupError, Scope.Scope> => {
      const partial = path.join(root, label + partialSuffix)
      const final = path.join(root, label)

      const publish = Effect.gen(function* () {
        yield* lock.confirm
        yield* Effect.mapError(Durable.syncDirectory(fs, partial), fromPlatform(partial))
        yield* Effect.mapError(fs.rename(partial, final), fromPlatform(final))
        yield* Durable.syncDirectory(fs, root).pipe(
          // What may not survive a loss of power was not published.
          Effect.onError(() => Effect.ignoreLogged(fs.rename(final, partial))),
          Effect.mapError(fromPlatform(root))
        )
      })

      const abandon = discard(label + partialSuffix).pipe(
        Effect.catchAll((error) =>
          Effect.logWarning("an unfinished backup could not be removed now; the next create will", {
            path: partial,
            error: error.description
          })
        )
      )

      return Effect.gen(function* () {
        const published = yield* Ref.make(false)
        yield* Effect.acquireRelease(
          Effect.mapError(fs.makeDirectory(partial, { mode: 0o700 }), fromPlatform(partial)),
          () => Effect.unlessEffect(abandon, Ref.get(published))
        )
        return {
          label,
          create: (fileName) => writer(path.join(partial, fileName)),
          publish: Effect.uninterruptible(Effect.zipRight(publish, Ref.set(published, true)))
        }
      })
    }

    const lock: BackupStorage["lock"] = ({ target }) =>
      Effect.gen(function* () {
        yield* Effect.mapError(makeDirectories(fs, path, root, { mode: 0o700 }), fromPlatform(root))
        const held = yield* locks.acquire(place, { target, busy: `${root} is being written` })
        const result: StorageLock = {
          sweep: Effect.tap(Effect.map(names, leftoversIn), (left) =>
            Effect.forEach(left, discard, { concurrency: 1, discard: true })
          ),
          draft: (label) => draft(held, label)
        }
        return result
      })

    return {
      location: root,
      labels: Effect.flatMap(names, (all) =>
        Effect.filter(
          all.filter(isLabel),
          (name) =>
            fs.stat(path.join(root, name)).pipe(
              Effect.map((info) => info.type === "Directory"),
              Effect.mapError(fromPlatform(path.join(root, name)))
            ),
          { concurrency: 4 }
        )
      ),
      files,
      read,
      lock,
      hasLeftovers: Effect.gen(function* () {
        const state = yield* locks.inspect(place)
        return state === "abandoned" || (state === "free" && leftoversIn(yield* names).length > 0)
      })
    }
  })
