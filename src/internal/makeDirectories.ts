/**
 * Makes a directory and those above it that are missing.
 *
 * Node's own `recursive` never returns, with a core at 100 %, where a parent exists in which nothing can be made:
 * `/proc/nowhere` (seen in Node 20.20).
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"

/** Tells the directory above: the Path service, or Node's module where that may be imported. */
interface Above {
  readonly dirname: (path: string) => string
}

/** Leaves alone what is there. `mode` is that of the directories that are made. */
export const makeDirectories = (
  fs: FileSystem.FileSystem,
  path: Above,
  directory: string,
  options: { readonly mode?: number } = {}
): Effect.Effect<void, PlatformError> => {
  const isDirectory = fs.stat(directory).pipe(
    Effect.map(({ type }) => type === "Directory"),
    Effect.orElseSucceed(() => false)
  )
  const make = fs
    .makeDirectory(directory, options)
    .pipe(Effect.catchAll((error) => Effect.unlessEffect(Effect.fail(error), isDirectory)))
  const parent = path.dirname(directory)
  return make.pipe(
    // Once more and no oftener: the parent is there then, whoever made it.
    Effect.catchIf(
      (error) => error._tag === "SystemError" && error.reason === "NotFound" && parent !== directory,
      () =>
        Effect.zipRight(
          Effect.suspend(() => makeDirectories(fs, path, parent, options)),
          make
        )
    ),
    Effect.asVoid
  )
}
