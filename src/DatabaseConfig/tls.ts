/**
 * What `sslmode` means: whether the connection is encrypted and what is verified.
 */
import * as Either from "effect/Either"
import type * as Redacted from "effect/Redacted"
import { didYouMean } from "./suggest.ts"

/**
 * libpq's words, without `allow`, and node-postgres' `no-verify`.
 *
 * @since 0.1.0
 * @category models
 */
export type SslMode = "disable" | "no-verify" | "prefer" | "require" | "verify-ca" | "verify-full"

/** All of them. */
export const sslModes: ReadonlyArray<SslMode> = [
  "disable",
  "no-verify",
  "prefer",
  "require",
  "verify-ca",
  "verify-full"
]

/**
 * TLS settings given by a program; certificates are PEM text.
 *
 * @since 0.1.0
 * @category options
 */
export interface TlsOptions {
  /** @default true */
  readonly rejectUnauthorized?: boolean | undefined
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | Redacted.Redacted<string> | undefined
  /** The name that the certificate must carry, where it is not the host's. */
  readonly servername?: string | undefined
}

/**
 * How a connection is protected: `false` is plain text.
 *
 * @since 0.1.0
 * @category models
 */
export type TlsMode =
  | false
  | {
      /** The certificate is verified against `ca`, or the runtime's authorities. */
      readonly rejectUnauthorized: boolean
      /**
       * Whether a verified certificate must also carry the host's name; off for libpq's `verify-ca`.
       *
       * @default true
       */
      readonly verifyHost?: boolean | undefined
      readonly ca?: string | undefined
      readonly cert?: string | undefined
      readonly key?: Redacted.Redacted<string> | undefined
      readonly servername?: string | undefined
    }

/** Reads the word. */
export const sslModeOfText = (raw: string): Either.Either<SslMode, string> => {
  const word = raw.trim().toLowerCase()
  const found = sslModes.find((mode) => mode === word)
  if (found !== undefined) return Either.right(found)
  return Either.left(
    word === "allow"
      ? "allow would fall back to plain text and back; choose disable, or require"
      : `${JSON.stringify(raw)} is none of ${sslModes.join(", ")}${didYouMean(word, sslModes)}`
  )
}

/** What a mode verifies, in one of the two readings. */
export const verificationOf = (
  mode: Exclude<SslMode, "disable">,
  { hasRootCert, libpq }: { readonly hasRootCert: boolean; readonly libpq: boolean }
): Either.Either<{ readonly rejectUnauthorized: boolean; readonly verifyHost: boolean }, string> => {
  const full = { rejectUnauthorized: true, verifyHost: true }
  const authority = { rejectUnauthorized: true, verifyHost: false }
  const nothing = { rejectUnauthorized: false, verifyHost: false }
  if (mode === "no-verify") return Either.right(nothing)
  if (!libpq || mode === "verify-full") return Either.right(full)
  if (mode === "verify-ca") {
    return hasRootCert
      ? Either.right(authority)
      : Either.left("verify-ca needs sslrootcert: with public authorities anybody can have a certificate")
  }
  // libpq: with a root certificate, require verifies like verify-ca (kept for compatibility with old versions).
  return Either.right(mode === "require" && hasRootCert ? authority : nothing)
}

/** For `plinth config`. */
export const describeTls = (mode: TlsMode): string => {
  if (mode === false) return "off (plain text)"
  if (!mode.rejectUnauthorized) return "on, certificate not verified"
  return mode.verifyHost !== false
    ? "on, certificate and host name verified"
    : "on, certificate verified, host name not"
}
