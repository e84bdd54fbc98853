/**
 * Writes the files of a cluster below one directory, and nowhere else.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Durable from "./Durable.ts"
import { tablespaceParts } from "./EntryPlacement.ts"

export interface Location {
  /** Where the files are written. */
  readonly root: string
  /** Where they will be when it is done. */
  readonly finalRoot: string
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
}

/** Enough to keep a disk's queue full; fsync of many small files is bound by their number. */
const syncConcurrency = 8

export class DataDirectory {
  private readonly fs: FileSystem.FileSystem
  private readonly path: Path.Path
  private readonly location: Location
  private readonly directories = new Set<string>()
  private readonly files: Array<string> = []

  constructor(fs: FileSystem.FileSystem, path: Path.Path, location: Location) {
    this.fs = fs
    this.path = path
    this.location = location
    this.directories.add(location.root)
  }

  /** A directory, and those above it, as only the owner may enter them. */
  makeDirectory(parts: ReadonlyArray<string>): Effect.Effect<void, PlatformError> {
    return Effect.suspend(() => {
      const directory = this.path.join(this.location.root, ...parts)
      if (this.directories.has(directory)) return Effect.void
      return this.makeDirectory(parts.slice(0, -1)).pipe(
        Effect.zipRight(this.fs.makeDirectory(directory, { mode: 0o700 })),
        Effect.map(() => {
          this.directories.add(directory)
        })
      )
    })
  }

  createFile(parts: ReadonlyArray<string>): Effect.Effect<Durable.DurableFile, PlatformError, Scope.Scope> {
    return Effect.suspend(() => {
      const file = this.path.join(this.location.root, ...parts)
      return this.makeDirectory(parts.slice(0, -1)).pipe(
        Effect.zipRight(Durable.create(this.fs, file)),
        Effect.tap(() => Effect.sync(() => this.files.push(file)))
      )
    })
  }

  /** The link that leads PostgreSQL to a tablespace; returns where that will be. */
  linkTablespace(oid: number): Effect.Effect<string, PlatformError> {
    const parts = tablespaceParts(oid)
    const target = this.path.join(this.location.finalRoot, ...parts)
    return this.makeDirectory(parts).pipe(
      Effect.zipRight(this.makeDirectory(["pg_tblspc"])),
      Effect.zipRight(this.fs.symlink(target, this.path.join(this.location.root, "pg_tblspc", String(oid)))),
      Effect.as(target)
    )
  }

  remove(parts: ReadonlyArray<string>): Effect.Effect<boolean, PlatformError> {
    const file = this.path.join(this.location.root, ...parts)
    const index = this.files.indexOf(file)
    if (index === -1) return Effect.succeed(false)
    this.files.splice(index, 1)
    return Effect.as(this.fs.remove(file), true)
  }

  has(name: string): boolean {
    return this.files.includes(this.path.join(this.location.root, name))
  }

  /** Gives everything to its owner. */
  get own(): Effect.Effect<void, PlatformError> {
    const { owner } = this.location
    if (owner === undefined) return Effect.void
    return Effect.suspend(() =>
      Effect.forEach([...this.files, ...this.directories], (path) => this.fs.chown(path, owner.uid, owner.gid), {
        concurrency: syncConcurrency,
        discard: true
      })
    )
  }

  /** Everything is on the disk when this returns. */
  get sync(): Effect.Effect<void, PlatformError> {
    const syncFile = (path: string) =>
      Effect.scoped(Effect.flatMap(this.fs.open(path, { flag: "r+" }), (file) => Effect.uninterruptible(file.sync)))
    const options = { concurrency: syncConcurrency, discard: true } as const
    return Effect.suspend(() => Effect.forEach(this.files, syncFile, options)).pipe(
      Effect.zipRight(
        Effect.suspend(() => Effect.forEach(this.directories, (path) => Durable.syncDirectory(this.fs, path), options))
      )
    )
  }
}
