// SPDX-License-Identifier: Apache-2.0
// Writes the class files of classes of the JDK: each its length (big-endian), then its bytes. A class that is not there has
// length 0.
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;

public class Classes {
    public static void main(String[] args) throws IOException {
        DataOutputStream out = new DataOutputStream(System.out);
        for (String name : args) {
            try (InputStream in = Object.class.getModule().getResourceAsStream(name + ".class")) {
                byte[] bytes = in == null ? new byte[0] : in.readAllBytes();
                out.writeInt(bytes.length);
                out.write(bytes);
            }
        }
        out.flush();
    }
}
