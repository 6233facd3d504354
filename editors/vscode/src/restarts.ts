/** How often a server that ends may be started again. */
export class Restarts {
    readonly most = 4;
    readonly minutes = 3;
    private times: number[] = [];

    /** Whether one more is allowed at `now`, in milliseconds. */
    allowed(now: number): boolean {
        this.times = this.times.filter(time => now - time < this.minutes * 60_000);
        this.times.push(now);
        return this.times.length <= this.most;
    }

    forget(): void {
        this.times = [];
    }
}
