// A long purge goes on by itself, step by step, until it is done or the page is left.
document.getElementById("purging").requestSubmit();
