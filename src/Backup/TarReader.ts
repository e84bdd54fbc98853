/**
 * Reads a ustar stream piece by piece, as PostgreSQL and POSIX tar write it.
 *
 * Only what a data directory consists of is accepted: files, directories and symbolic links. Everything else (hard links,
 * devices, extended headers) is an error, and so is a stream that ends early.
 *
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
 */
import * as Data from "effect/Data"

export interface TarEntry {
  readonly type: "file" | "directory" | "symlink"
  /** As it is written, without a trailing slash. It may be hostile: see `DataDirectoryPath`. */
  readonly path: string
  readonly bytes: number
  /** The target of a symbolic link, empty for anything else. */
  readonly linkTarget: string
}

export type TarEvent =
  | { readonly _tag: "Entry"; readonly entry: TarEntry }
  /** The next bytes of the latest entry; valid until the reader is given more. */
  | { readonly _tag: "Data"; readonly bytes: Uint8Array }
  | { readonly _tag: "EntryEnd" }
  | { readonly _tag: "ArchiveEnd" }

export class TarError extends Data.TaggedError("TarError")<{ readonly description: string }> {
  override get message(): string {
    return this.description
  }
}

const blockBytes = 512

const padding = (bytes: number): number => (blockBytes - (bytes % blockBytes)) % blockBytes

const decoder = new TextDecoder("utf-8", { fatal: true })

export class TarReader {
  /** Bytes read so far, for messages. */
  private offset = 0
  private header = new Uint8Array(blockBytes)
  private headerFilled = 0
  private dataLeft = 0
  private paddingLeft = 0
  private inEntry = false
  private zeroBlocks = 0

  /** The events that these bytes complete. Throws a `TarError` at the first byte that is not tar. */
  push(chunk: Uint8Array): ReadonlyArray<TarEvent> {
    const events: Array<TarEvent> = []
    let at = 0
    while (at < chunk.length) {
      if (this.dataLeft > 0) {
        const bytes = chunk.subarray(at, at + this.dataLeft)
        this.dataLeft -= bytes.length
        at += bytes.length
        events.push({ _tag: "Data", bytes })
      } else if (this.paddingLeft > 0) {
        const skipped = Math.min(this.paddingLeft, chunk.length - at)
        this.paddingLeft -= skipped
        at += skipped
      } else {
        const part = chunk.subarray(at, at + blockBytes - this.headerFilled)
        this.header.set(part, this.headerFilled)
        this.headerFilled += part.length
        at += part.length
        if (this.headerFilled === blockBytes) {
          this.headerFilled = 0
          this.block(events)
        }
      }
      if (this.inEntry && this.dataLeft === 0) {
        this.inEntry = false
        events.push({ _tag: "EntryEnd" })
      }
    }
    this.offset += chunk.length
    return events
  }

  /** To be called when there are no more bytes. Throws unless the archive was complete. */
  end(): void {
    if (this.zeroBlocks < 2 || this.headerFilled > 0) throw this.error("it ends before its end-of-archive mark")
  }

  private block(events: Array<TarEvent>): void {
    if (this.header.every((byte) => byte === 0)) {
      this.zeroBlocks += 1
      if (this.zeroBlocks === 2) events.push({ _tag: "ArchiveEnd" })
      return
    }
    if (this.zeroBlocks > 0) throw this.error("something follows its end-of-archive mark")
    const entry = this.entry()
    this.dataLeft = entry.bytes
    this.paddingLeft = padding(entry.bytes)
    this.inEntry = true
    events.push({ _tag: "Entry", entry })
  }

  private entry(): TarEntry {
    const expected = this.number(148, 8)
    const sum = this.header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0)
    if (sum !== expected) throw this.error("a header does not match its checksum")
    if (this.text(257, 5) !== "ustar") throw this.error("a header is not of the ustar format")
    const prefix = this.text(345, 155)
    const name = this.text(0, 100)
    const path = (prefix === "" ? name : `${prefix}/${name}`).replace(/\/+$/, "")
    const flag = this.text(156, 1)
    switch (flag) {
      case "":
      case "0":
        return { type: "file", path, bytes: this.number(124, 12), linkTarget: "" }
      case "2":
        return { type: "symlink", path, bytes: 0, linkTarget: this.text(157, 100) }
      case "5":
        return { type: "directory", path, bytes: 0, linkTarget: "" }
      default:
        throw this.error(`${path} has type ${JSON.stringify(flag)}, which no data directory contains`)
    }
  }

  /** A field up to its first zero byte. */
  private text(from: number, length: number): string {
    const field = this.header.subarray(from, from + length)
    const end = field.indexOf(0)
    try {
      return decoder.decode(end === -1 ? field : field.subarray(0, end))
    } catch {
      throw this.error("a name is not valid UTF-8")
    }
  }

  /** Octal digits, or for large files, as marked by the first bit, a big-endian number. */
  private number(from: number, length: number): number {
    const field = this.header.subarray(from, from + length)
    const first = field[0] ?? 0
    const value =
      first & 0x80
        ? field.subarray(1).reduce((total, byte) => total * 256 + byte, first & 0x7f)
        : octal(this.text(from, length))
    if (!Number.isSafeInteger(value)) throw this.error("a number in a header is not one")
    return value
  }

  private error(description: string): TarError {
    return new TarError({ description: `${description} (near byte ${this.offset})` })
  }
}

const octal = (digits: string): number => {
  const trimmed = digits.trim()
  return /^[0-7]+$/.test(trimmed) ? Number.parseInt(trimmed, 8) : trimmed === "" ? 0 : Number.NaN
}
