/**
 * Reads the answer to BASE_BACKUP off the wire: three small results and, between them, one COPY of all archives.
 *
 * @see https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 */

export interface WalPosition {
  /** As PostgreSQL writes it, such as `16/B374D848`. */
  readonly lsn: string
  readonly timeline: number
}

export interface Tablespace {
  /** Absent for the data directory itself, which is last. */
  readonly oid: number | undefined
  readonly location: string | undefined
  /** The server's estimate, in bytes. */
  readonly bytes: number
}

export type BaseBackupEvent =
  | { readonly _tag: "Started"; readonly position: WalPosition; readonly tablespaces: ReadonlyArray<Tablespace> }
  /** What follows belongs to this tar file. The location is empty for the data directory. */
  | { readonly _tag: "Archive"; readonly name: string; readonly location: string }
  /** What follows belongs to PostgreSQL's own backup_manifest. */
  | { readonly _tag: "Manifest" }
  /** `release` gives the memory back for a later block: call it once, when the bytes are of no use any more. */
  | { readonly _tag: "Data"; readonly bytes: Uint8Array; readonly release: () => void }
  | { readonly _tag: "Stopped"; readonly position: WalPosition }

export interface Receiver {
  readonly offer: (event: BaseBackupEvent) => void
  readonly succeed: () => void
  readonly fail: (error: unknown) => void
}

/**
 * The server sends 32 KiB at a time; consumers get blocks of this size. It is also the block that is compressed at once,
 * and 1 MiB costs under 2 % of the ratio of a single stream.
 */
const blockBytes = 1024 * 1024

type Fields = ReadonlyArray<string | null>

/** What node-postgres calls while the command runs. */
export class BaseBackupReceiver {
  private readonly command: string
  private readonly receiver: Receiver
  private resultsSeen = 0
  private rows: Array<Fields> = []
  private start: WalPosition | undefined
  private block: Buffer | undefined
  /** Blocks to use again. As many new ones per second as there are megabytes keep the garbage collector busy. */
  private readonly free: Array<Buffer> = []
  private filled = 0

  constructor(command: string, receiver: Receiver) {
    this.command = command
    this.receiver = receiver
  }

  submit(connection: { readonly query: (text: string) => void }): void {
    connection.query(this.command)
  }

  handleRowDescription(): void {
    this.rows = []
  }

  handleDataRow(message: { readonly fields: Fields }): void {
    this.rows.push(message.fields)
  }

  handleCommandComplete(message: { readonly text: string }): void {
    // The command's own tag comes last, after those of its three results.
    if (message.text !== "SELECT") return
    this.resultsSeen += 1
    if (this.resultsSeen === 1) this.start = this.position()
    else if (this.resultsSeen === 2) {
      if (this.start === undefined) return
      this.receiver.offer({ _tag: "Started", position: this.start, tablespaces: this.rows.map(tablespace) })
    } else {
      this.flush()
      const position = this.position()
      if (position !== undefined) this.receiver.offer({ _tag: "Stopped", position })
    }
  }

  handleCopyData(message: { readonly chunk: Buffer }): void {
    const { chunk } = message
    switch (chunk[0]) {
      case 0x64: // d: data
        return this.append(chunk)
      case 0x6e: {
        // n: a new archive, its name and its directory
        const [name = "", location = ""] = chunk.toString("utf8", 1).split("\0")
        this.flush()
        return this.receiver.offer({ _tag: "Archive", name, location })
      }
      case 0x6d: // m: the manifest
        this.flush()
        return this.receiver.offer({ _tag: "Manifest" })
      case 0x70: // p: progress, which the bytes received tell as well
        return
      default:
        this.receiver.fail(
          new Error(
            `received invalid response: message ${JSON.stringify(chunk.toString("latin1", 0, 1))} in a base backup`
          )
        )
    }
  }

  handleReadyForQuery(): void {
    this.receiver.succeed()
  }

  handleError(error: Error): void {
    this.receiver.fail(error)
  }

  handlePortalSuspended(): void {}

  handleEmptyQuery(): void {}

  handleCopyInResponse(connection: { readonly sendCopyFail: (reason: string) => void }): void {
    connection.sendCopyFail("a base backup takes no input")
  }

  /** Copied, since node-postgres writes the next message over this one's memory. */
  private append(chunk: Buffer): void {
    let from = 1
    while (from < chunk.length) {
      this.block ??= this.free.pop() ?? Buffer.allocUnsafeSlow(blockBytes)
      const copied = chunk.copy(this.block, this.filled, from)
      from += copied
      this.filled += copied
      if (this.filled === blockBytes) this.flush()
    }
  }

  private flush(): void {
    const { block } = this
    if (block === undefined) return
    const release = () => void this.free.push(block)
    this.receiver.offer({ _tag: "Data", bytes: block.subarray(0, this.filled), release })
    this.block = undefined
    this.filled = 0
  }

  private position(): WalPosition | undefined {
    const [lsn, timeline] = this.rows[0] ?? []
    if (typeof lsn === "string" && typeof timeline === "string") return { lsn, timeline: Number(timeline) }
    this.receiver.fail(new Error("received invalid response: a base backup without a WAL position"))
    return undefined
  }
}

const tablespace = ([oid, location, kilobytes]: Fields): Tablespace => ({
  oid: typeof oid === "string" ? Number(oid) : undefined,
  location: location ?? undefined,
  bytes: Number(kilobytes ?? 0) * 1024
})
