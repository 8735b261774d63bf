using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace OptimalStopping.Server;

/// <summary>The page at <c>/</c>: three files that are part of this assembly and ask for nothing from elsewhere.</summary>
internal static class Page
{
    public static void Map(WebApplication app)
    {
        Serve(app, "/", "page.html", "text/html; charset=utf-8");
        Serve(app, "/page.css", "page.css", "text/css; charset=utf-8");
        Serve(app, "/page.js", "page.js", "text/javascript; charset=utf-8");
    }

    private static void Serve(WebApplication app, string path, string file, string type)
    {
        using Stream resource = typeof(Page).Assembly.GetManifestResourceStream(file)
            ?? throw new InvalidOperationException($"the assembly lacks {file}");
        var bytes = new byte[resource.Length];
        resource.ReadExactly(bytes);
        app.MapGet(path, context =>
        {
            context.Response.ContentType = type;
            context.Response.Headers.CacheControl = "no-cache";
            return context.Response.Body.WriteAsync(bytes, 0, bytes.Length);
        });
    }
}
