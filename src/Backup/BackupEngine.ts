/**
 * How a cluster becomes the files of a backup and back: the seam between the service and a way of copying PostgreSQL.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { BackupError } from "./BackupError.ts"
import type { BackupManifest } from "./BackupManifest.ts"
import type { BackupStorage, Draft } from "./BackupStorage.ts"
import type { OnProgress } from "./Progress.ts"

/**
 * What an engine knows about the backup that it wrote.
 *
 * @since 0.1.0
 * @category models
 */
export type Copied = Pick<BackupManifest, "start" | "stop" | "compression" | "files" | "warnings" | "recovery">

/**
 * A connection that holds the server's lock: no other session of this kind exists for the same target.
 *
 * @since 0.1.0
 * @category models
 */
export interface EngineSession {
  readonly server: BackupManifest["server"]
  /** What the lock stands for; two sessions with the same target exclude each other. */
  readonly target: string
  readonly copy: (draft: Draft, onProgress: OnProgress) => Effect.Effect<Copied, BackupError>
}

/**
 * A published backup and where it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredBackup {
  readonly manifest: BackupManifest
  readonly storage: BackupStorage
}

/**
 * Something that is not as it was written.
 *
 * @since 0.1.0
 * @category models
 */
export interface Finding {
  /** The file of the backup or, after a colon, of the cluster within it: `base.tar.gz: base/5/1259`. */
  readonly file: string
  readonly problem: string
}

/**
 * What a restored data directory is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Restored {
  readonly label: string
  /** Absolute path of the data directory, ready to be started. */
  readonly directory: string
  readonly files: number
  readonly bytes: number
  /** Where each tablespace is now. */
  readonly tablespaces: ReadonlyArray<{ readonly oid: number; readonly from: string; readonly to: string }>
  readonly warnings: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RestoreOptions {
  /** The new data directory: it must not exist, or be empty. */
  readonly directory: string
  /**
   * Who shall own the files; PostgreSQL starts only for their owner, and never for root.
   *
   * @default the user that runs this
   */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined
  /** The major version of the server that shall run it; a backup of another one is refused. */
  readonly majorVersion?: number | undefined
  /**
   * Whether to force everything to the disk before the directory appears. Without it a restore of many small files is
   * several times faster, and a loss of power right afterwards can leave files empty: for scratch copies only.
   *
   * @default true
   */
  readonly sync?: boolean | undefined
  readonly onProgress?: OnProgress | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface BackupEngine {
  readonly name: BackupManifest["engine"]
  readonly open: Effect.Effect<EngineSession, BackupError, Scope.Scope>
  /** Reads everything back. An empty list is the only good answer. */
  readonly verify: (backup: StoredBackup, onProgress: OnProgress) => Effect.Effect<ReadonlyArray<Finding>, BackupError>
  readonly restore: (backup: StoredBackup, options: RestoreOptions) => Effect.Effect<Restored, BackupError>
}
