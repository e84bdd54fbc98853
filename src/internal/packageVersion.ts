/**
 * The version of this package, for what it writes; a test holds it against `package.json`.
 */
export const packageVersion = "0.1.0"
