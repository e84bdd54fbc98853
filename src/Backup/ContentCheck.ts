/**
 * Holds the files of a cluster, as they come out of the archives, against PostgreSQL's manifest of them.
 */
import * as Sha256 from "../internal/node/Sha256.ts"
import type { Finding } from "./BackupEngine.ts"
import * as Lsn from "./Lsn.ts"
import type { ManifestFile, PostgresManifest } from "./PostgresManifest.ts"
import type { TarEntry } from "./TarReader.ts"

interface Current {
  readonly where: string
  readonly path: string
  readonly expected: ManifestFile | undefined
  readonly hash: Sha256.Sha256
  bytes: number
}

/** The first segment's long page header: where the page stands, and whose it is. */
const walHeaderBytes = 40

const walSegment = /^pg_wal\/([0-9A-F]{24})$/

export class ContentCheck {
  readonly findings: Array<Finding> = []
  private readonly manifest: PostgresManifest
  private readonly expected: Map<string, ManifestFile>
  private readonly segments = new Set<string>()
  private readonly wal: { readonly segmentBytes: number; readonly systemIdentifier: string }
  private current: Current | undefined
  private head = new Uint8Array(walHeaderBytes)

  constructor(manifest: PostgresManifest, wal: { readonly segmentBytes: number; readonly systemIdentifier: string }) {
    this.manifest = manifest
    this.wal = wal
    this.expected = new Map(manifest.files.map((file) => [file.path, file]))
    if (manifest.systemIdentifier !== undefined && manifest.systemIdentifier !== wal.systemIdentifier) {
      this.report("backup_manifest", `is of another cluster, ${manifest.systemIdentifier}`)
    }
  }

  /** `path` is relative to the data directory; `archive` is the file it was found in. */
  begin(archive: string, path: string, entry: TarEntry): void {
    const where = `${archive}: ${path}`
    const expected = this.expected.get(path)
    this.expected.delete(path)
    if (expected === undefined && !path.startsWith("pg_wal/")) {
      this.report(where, "is not in PostgreSQL's manifest, or is there twice")
    }
    if (expected !== undefined && expected.bytes !== entry.bytes) {
      this.report(where, `has ${entry.bytes} bytes, and PostgreSQL sent ${expected.bytes}`)
    }
    this.current = { where, path, expected, hash: Sha256.make(), bytes: 0 }
  }

  data(bytes: Uint8Array): void {
    const { current } = this
    if (current === undefined) return
    if (current.bytes < walHeaderBytes) this.head.set(bytes.subarray(0, walHeaderBytes - current.bytes), current.bytes)
    current.hash.update(bytes)
    current.bytes += bytes.length
  }

  end(): void {
    const { current } = this
    if (current === undefined) return
    this.current = undefined
    const { bytes, expected, path, where } = current
    if (expected !== undefined && expected.bytes === bytes && current.hash.digest() !== expected.sha256) {
      this.report(where, "does not have the SHA-256 that PostgreSQL computed")
    }
    const segment = walSegment.exec(path)?.[1]
    if (segment !== undefined) this.checkSegment(where, segment, bytes)
  }

  /** Everything was read: what is missing? */
  finish(): void {
    for (const path of this.expected.keys()) this.report(path, "is in PostgreSQL's manifest and in no archive")
    if (this.manifest.walRanges.length === 0) this.report("backup_manifest", "names no WAL to recover with")
    for (const range of this.manifest.walRanges) {
      const start = Lsn.parse(range.start)
      const end = Lsn.parse(range.end)
      if (start === undefined || end === undefined) {
        this.report("backup_manifest", `has a WAL range that is none: ${range.start} to ${range.end}`)
        continue
      }
      for (const segment of Lsn.segments(range.timeline, start, end, this.wal.segmentBytes)) {
        if (!this.segments.has(segment)) {
          this.report(`pg_wal/${segment}`, `is missing, and recovery needs the WAL from ${range.start} to ${range.end}`)
        }
      }
    }
  }

  /** A segment's own header names its cluster, its size and its place in the log. */
  private checkSegment(where: string, segment: string, bytes: number): void {
    const header = new DataView(this.head.buffer)
    // PostgreSQL writes in the byte order of its machine; the segment size tells which.
    const littleEndian = header.getUint32(32, true) === this.wal.segmentBytes
    const size = BigInt(this.wal.segmentBytes)
    const start = BigInt(`0x${segment.slice(8, 16)}`) * 0x1_0000_0000n + BigInt(`0x${segment.slice(16)}`) * size
    if (bytes !== this.wal.segmentBytes) {
      this.report(where, `has ${bytes} bytes, and a WAL segment has ${this.wal.segmentBytes}`)
    } else if (header.getUint32(32, littleEndian) !== this.wal.segmentBytes) {
      this.report(where, "does not begin as a WAL segment")
    } else if (header.getBigUint64(24, littleEndian).toString() !== this.wal.systemIdentifier) {
      this.report(where, "is the WAL of another cluster")
    } else if (header.getBigUint64(8, littleEndian) !== start) {
      this.report(where, `holds the WAL from ${Lsn.format(header.getBigUint64(8, littleEndian))}`)
    } else {
      this.segments.add(segment)
    }
  }

  private report(file: string, problem: string): void {
    this.findings.push({ file, problem })
  }
}
