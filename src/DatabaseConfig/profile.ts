/**
 * The profiles: where the program runs decides what a setting is when nobody says.
 */

/**
 * Where the program runs.
 *
 * @since 0.1.0
 * @category models
 */
export type Profile = "development" | "test" | "staging" | "production"

/** In the order of the documentation. */
export const profiles: ReadonlyArray<Profile> = ["development", "test", "staging", "production"]
