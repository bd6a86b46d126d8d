#pragma once
// Who goes first when there are fewer cores than threads that want to run.

namespace tandem {

// The calling thread, and every thread that it starts from now on (OpenMP's for its loops, too), gives way to the others
// of the process: nice 10, a tenth of the share of one at nice 0. For long work that nobody waits for. On a kernel that
// groups processes by session (autogroup) it counts among the threads of the session only, which is what is meant.
void GiveWay();

}  // namespace tandem
