/**
 * A file system that fails, or hangs, at chosen operations and does everything else for real.
 */
import * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export interface Operation {
  readonly method: "open" | "write" | "sync" | "rename" | "makeDirectory"
  readonly path: string
  /** Bytes already written to this file. */
  readonly written: number
}

/** What happens before an operation: nothing, a failure of the system, or whatever the effect does. */
export type Fault = (operation: Operation) => Effect.Effect<void, PlatformError.PlatformError>

/** The failure that Node's file system reports for a code. */
const systemError = (code: string, { method, path }: Operation): PlatformError.PlatformError =>
  new PlatformError.SystemError({
    reason: "Unknown",
    module: "FileSystem",
    method,
    pathOrDescriptor: path,
    description: `${code}: ${method} '${path}'`,
    cause: Object.assign(new Error(code), { code })
  })

export const failWith =
  (code: string, when: (operation: Operation) => boolean): Fault =>
  (operation) =>
    when(operation) ? Effect.fail(systemError(code, operation)) : Effect.void

const layer = (fault: Fault): Layer.Layer<FileSystem.FileSystem> =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (real): FileSystem.FileSystem => {
      const before = (method: Operation["method"], path: string, written = 0) => fault({ method, path, written })
      return {
        ...real,
        open: (path, options) =>
          Effect.zipRight(before("open", path), real.open(path, options)).pipe(
            Effect.map((file): FileSystem.File => {
              let written = 0
              return {
                [FileSystem.FileTypeId]: FileSystem.FileTypeId,
                fd: file.fd,
                stat: file.stat,
                seek: (offset, from) => file.seek(offset, from),
                read: (buffer) => file.read(buffer),
                readAlloc: (size) => file.readAlloc(size),
                truncate: (length) => file.truncate(length),
                write: (buffer) => Effect.zipRight(before("write", path, written), file.write(buffer)),
                sync: Effect.zipRight(
                  Effect.suspend(() => before("sync", path, written)),
                  file.sync
                ),
                writeAll: (buffer) =>
                  Effect.suspend(() => before("write", path, written)).pipe(
                    Effect.zipRight(file.writeAll(buffer)),
                    Effect.tap(() => Effect.sync(() => (written += buffer.length)))
                  )
              }
            })
          ),
        rename: (from, to) => Effect.zipRight(before("rename", to), real.rename(from, to)),
        makeDirectory: (path, options) =>
          Effect.zipRight(before("makeDirectory", path), real.makeDirectory(path, options))
      }
    })
  ).pipe(Layer.provide(NodeFileSystem.layer))

/** The faulty file system and the paths of this platform. */
export const context = (fault: Fault) => Layer.merge(layer(fault), NodePath.layer)
