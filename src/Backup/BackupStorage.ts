/**
 * Where backups are kept: the seam between the service and a directory, a bucket, or whatever else can hold files.
 *
 * An implementation is correct when it passes `effect-plinth/testing`'s suite for storages.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { BackupError } from "./BackupError.ts"

/**
 * One file of an unpublished backup. It is written from start to end; it counts only after `finish`.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileWriter {
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, BackupError>
  /** Returns when the bytes would survive a loss of power. */
  readonly finish: Effect.Effect<void, BackupError>
}

/**
 * A backup that is being written and that no reader sees. It vanishes with its scope unless it was published.
 *
 * @since 0.1.0
 * @category models
 */
export interface Draft {
  readonly label: string
  readonly create: (fileName: string) => Effect.Effect<FileWriter, BackupError, Scope.Scope>
  /** Makes it a backup, in one step that survives a loss of power, or not at all. */
  readonly publish: Effect.Effect<void, BackupError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface StoredFile {
  readonly name: string
  readonly bytes: number
}

/**
 * Who holds a storage, as its lock says.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockPurpose {
  /** The cluster and database whose advisory lock the holder has as well, when it has one. */
  readonly target?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface BackupStorage {
  /** For messages: a path or a URL without credentials. */
  readonly location: string
  /** The labels of published backups, whether their contents are sound or not. */
  readonly labels: Effect.Effect<ReadonlyArray<string>, BackupError>
  /** The files of a published backup. Fails with `NotFound` for any other label. */
  readonly files: (label: string) => Effect.Effect<ReadonlyArray<StoredFile>, BackupError>
  readonly read: (label: string, fileName: string) => Stream.Stream<Uint8Array, BackupError>
  /** One writer at a time. Fails with `AlreadyRunning` while another one may be alive; takes over from a dead one. */
  readonly lock: (purpose: LockPurpose) => Effect.Effect<StorageLock, BackupError, Scope.Scope>
  /** Whether a writer that died has left something behind; never true for one that lives. */
  readonly hasLeftovers: Effect.Effect<boolean, BackupError>
}

/**
 * What only the holder of the lock may do.
 *
 * @since 0.1.0
 * @category models
 */
export interface StorageLock {
  /** Removes what writers before this one have left unpublished; returns the names. */
  readonly sweep: Effect.Effect<ReadonlyArray<string>, BackupError>
  readonly draft: (label: string) => Effect.Effect<Draft, BackupError, Scope.Scope>
}
