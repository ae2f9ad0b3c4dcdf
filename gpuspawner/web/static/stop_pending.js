// Looks again whether the server has stopped.
setTimeout(() => window.location.reload(), 5000);
