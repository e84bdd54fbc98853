/**
 * SHA-256 over bytes that arrive in pieces.
 */
import { createHash } from "node:crypto"

export interface Sha256 {
  readonly update: (bytes: Uint8Array) => void
  /** The digest as 64 hexadecimal digits; the hash cannot be used afterwards. */
  readonly digest: () => string
}

export const make = (): Sha256 => {
  const hash = createHash("sha256")
  return {
    update: (bytes) => {
      hash.update(bytes)
    },
    digest: () => hash.digest("hex")
  }
}

/** The digest of bytes that are already in memory; a string is hashed as UTF-8. */
export const hex = (content: Uint8Array | string): string => createHash("sha256").update(content).digest("hex")
