/**
 * Why a backup could not be made, read or restored.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as Data from "effect/Data"
import * as Predicate from "effect/Predicate"

/**
 * - `Unreachable`: the server could not be reached or refused the login
 * - `ReplicationRefused`: the server answers, but not to a replication connection of this role
 * - `UnsupportedServer`: no engine for this version of PostgreSQL
 * - `AlreadyRunning`: another backup of the same target is under way
 * - `ServerFailed`: the server ended the backup: a terminated backend, a restart, a lost connection, an error while reading
 * - `Stalled`: the server sent nothing for too long
 * - `StorageFull`: no space is left where the backup or the restored directory is written
 * - `StorageFailed`: a file or directory could not be written, read or renamed
 * - `NotFound`: no complete backup has this label
 * - `Damaged`: the bytes are not the ones that were written
 * - `UnsupportedFormat`: written by a newer Plinth, or by an engine that this one does not have
 * - `TargetRefused`: the directory to restore into is not empty, too small, or not replaceable
 *
 * @since 0.1.0
 * @category errors
 */
export type BackupErrorReason =
  | "Unreachable"
  | "ReplicationRefused"
  | "UnsupportedServer"
  | "AlreadyRunning"
  | "ServerFailed"
  | "Stalled"
  | "StorageFull"
  | "StorageFailed"
  | "NotFound"
  | "Damaged"
  | "UnsupportedFormat"
  | "TargetRefused"

/**
 * A backup operation that did not happen. Nothing was listed, replaced or removed because of it.
 *
 * @since 0.1.0
 * @category errors
 */
export class BackupError extends Data.TaggedError("BackupError")<{
  readonly reason: BackupErrorReason
  /** What Plinth was asked to do; storages and engines leave it to the service. */
  readonly operation?: Operation | undefined
  /** What happened, to what. */
  readonly description: string
  /** What to do about it. */
  readonly advice: string
  readonly label?: string | undefined
  /** The file or directory that it happened to. */
  readonly path?: string | undefined
  /** `host:port/database` of the server, never with credentials. */
  readonly node?: string | undefined
  readonly cause?: unknown
}> {
  override get message(): string {
    const operation = this.operation === undefined ? "backup" : `backup ${this.operation}`
    const label = this.label === undefined ? "" : ` of ${this.label}`
    return `${operation}${label} failed: ${this.description} (${this.reason}). ${this.advice}`
  }

  /** The same failure, as part of what Plinth was asked to do. */
  during(operation: Operation, label?: string): BackupError {
    const { advice, cause, description, node, path, reason } = this
    return new BackupError({ reason, operation, description, advice, label: this.label ?? label, path, node, cause })
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export type Operation = "create" | "list" | "show" | "verify" | "restore"

/** The code that the system gave, which `PlatformError` has no reason for. */
const systemCode = (error: PlatformError): string | undefined => {
  const cause = error._tag === "SystemError" ? error.cause : undefined
  return Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined
}

const adviceOf = (error: PlatformError): string => {
  const code = systemCode(error)
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return "Free space there, or choose another directory. What was written so far has been removed."
    case "EROFS":
      return "The file system is mounted read-only: remount it or choose another directory."
    case "EACCES":
    case "EPERM":
      return "Give the user that runs this the right to write there, or choose another directory."
    case "ENOENT":
      if (error._tag === "SystemError" && error.method === "makeDirectory") {
        return "No directory can be made there: choose another one."
      }
      return "It was removed or unmounted meanwhile: check the mount and who else works in this directory."
    case "ENOTDIR":
    case "EEXIST":
      return "A part of this path is a file and not a directory: choose another directory."
    default:
      return "Check the file system and the permissions of this path."
  }
}

/** The failure of a file operation on a path. */
export const fromPlatform =
  (path: string) =>
  (error: PlatformError): BackupError => {
    const code = systemCode(error)
    const what = error._tag === "SystemError" ? (error.description ?? error.reason) : error.message
    return new BackupError({
      reason: code === "ENOSPC" || code === "EDQUOT" ? "StorageFull" : "StorageFailed",
      path,
      description: what.includes(path) ? what : `${what}: ${path}`,
      advice: adviceOf(error),
      cause: error
    })
  }
