// A named check: runs the action, and says on one line whether it held.
let failed = 0;

export async function check(name, action) {
  try {
    await action();
    console.log("ok    " + name);
  } catch (fault) {
    failed++;
    console.log("FAIL  " + name + ": " + fault.message);
  }
}

/** Ends the process: 1 where a check failed, 0 otherwise. */
export function finish() {
  process.exit(failed ? 1 : 0);
}
