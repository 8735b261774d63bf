"use strict";
// Draws a page's charts now, and again whenever its theme changes: by its button or with the system.
const drawInTheme = draw => {
    const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
    document.getElementById("theme").addEventListener("click", () => {
        const dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
        root.dataset.theme = dark ? "light" : "dark";
        draw();
    });
    system.addEventListener("change", draw);
    draw();
};
