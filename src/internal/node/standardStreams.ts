/**
 * The streams of this process. As functions, since the first access to `process.stdin` opens it.
 */

/** Standard input. */
export const standardInput = (): NodeJS.ReadStream => process.stdin

/** Standard output. */
export const standardOutput = (): NodeJS.WriteStream => process.stdout

/** Standard error. */
export const standardError = (): NodeJS.WriteStream => process.stderr
